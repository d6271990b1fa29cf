use clap::Parser as _;
use peerage_services::api::Allow;

use super::super::{Cli, Command, Typed};

fn typed(args: &[&str]) -> Result<peerage_services::api::ShareRequest, super::Failure> {
    let all = ["peerage", "share"].iter().chain(args);
    match Cli::try_parse_from(all).unwrap().command {
        Typed::Listed(Command::Share(args)) => super::request(args.what.as_deref().unwrap(), &args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_is_one_word_or_comes_after_two_dashes() {
    let one = typed(&["files=npx -y 'my server'"]).unwrap();
    assert_eq!(one.command.as_deref(), Some("npx -y 'my server'"));
    let words = typed(&["files", "--", "npx", "-y", "my server"]).unwrap();
    assert_eq!(words.command, one.command);
    assert!(std::path::Path::new(&one.cwd.unwrap()).is_absolute());
    typed(&["files"]).unwrap_err();
    typed(&["files=a", "--", "b"]).unwrap_err();
}

#[test]
fn who_may_call_is_one_word_or_a_list() {
    assert_eq!(typed(&["a=b"]).unwrap().allow, Allow::default());
    let public = typed(&["a=b", "--allow", "public"]).unwrap();
    assert_eq!(public.allow, Allow::One("public".to_owned()));
    let list = typed(&[
        "a=b",
        "--allow",
        "o://acme/ann,o://acme/bob",
        "--allow",
        "did:key:z6Mk",
    ])
    .unwrap();
    assert!(matches!(list.allow, Allow::Listed(who) if who.len() == 3));
}

#[test]
fn the_environment_is_typed_or_taken_along() {
    let share = typed(&["a=b", "--env", "KEY=a=b", "--env", "PATH"]).unwrap();
    assert_eq!(share.env["KEY"], "a=b");
    assert!(!share.env["PATH"].is_empty());
    typed(&["a=b", "--env", "SURELY_NOT_SET_ANYWHERE"]).unwrap_err();
    typed(&["a=http://127.0.0.1/mcp", "--env", "PATH"]).unwrap_err();
}

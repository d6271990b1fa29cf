use clap::CommandFactory as _;

use super::{Cli, Command, Parser as _, Typed, wants_json};

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments().filter(|a| !a.is_global_set()) {
            assert!(
                argument.get_help().is_some(),
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn no_argument_takes_the_place_of_a_global_one() {
    for command in Cli::command().get_subcommands() {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            assert!(
                !["home", "name", "json"].contains(&id),
                "{} {id}",
                command.get_name()
            );
        }
    }
}

#[test]
fn global_options_stand_anywhere() {
    for typed in [
        &["peerage", "--home", "/x", "--name", "a", "--json", "status"][..],
        &["peerage", "status", "--home", "/x", "--name", "a", "--json"],
    ] {
        let cli = Cli::try_parse_from(typed).unwrap();
        assert_eq!(cli.global.name.as_deref(), Some("a"));
        assert_eq!(cli.global.home.as_deref(), Some(std::path::Path::new("/x")));
        assert!(cli.global.json && matches!(cli.command, Typed::Listed(Command::Status)));
    }
}

#[test]
fn what_the_issue_shows_can_be_typed() {
    for typed in [
        "peerage up --share files=npx --listen /ip4/127.0.0.1/tcp/0 --listen /ip4/127.0.0.1/udp/0/quic-v1",
        "peerage up --name a --home /x --api 127.0.0.1:0 --peer /ip4/192.0.2.1/tcp/1 --no-mdns --detach",
        "peerage up --seed-file seed --all-tools",
        "peerage up --insecure-seed-phrase hush",
        "peerage down",
        "peerage peers workstation",
        "peerage card",
        "peerage call workstation/files/list_directory path=/data",
        "peerage call a/b/c -",
        "peerage share",
        "peerage unshare files",
        "peerage invite --expires 1h --as ann",
        "peerage join CODE",
        "peerage ping ann --count 3",
        "peerage resolve o://acme/sales",
        "peerage resolve ../billing --json",
        "peerage config show --json",
        "peerage completions zsh",
        "peerage mcp",
        "peerage toolbox",
        "peerage demo --json",
    ] {
        Cli::try_parse_from(typed.split(' ')).unwrap_or_else(|error| panic!("{typed}: {error}"));
    }
    for typed in [
        "peerage up --api here",
        "peerage up --listen here",
        "peerage up --share here",
        "peerage up --seed-file a --insecure-seed-phrase b",
        "peerage invite --expires soon",
        "peerage ping ann --count 0",
        "peerage config",
    ] {
        Cli::try_parse_from(typed.split(' ')).expect_err(typed);
    }
}

#[test]
fn json_is_wanted_only_before_two_dashes() {
    let wants = |text: &str| wants_json(&text.split(' ').map(Into::into).collect::<Vec<_>>());
    assert!(wants("peerage nonsense --json"));
    assert!(!wants("peerage share a -- b --json"));
}

use std::{collections::HashMap, path::PathBuf, time::Duration};

use peerage_core::{policy::Subject, problem::Problem};
use peerage_services::{api::Allow, secrets::Mode};

use super::{
    Config, ConfigError, Environment, FILE_NAME, IdentitySource, Layer, Origin, PeerEntry, Phrase,
    SeedFileError, ShareError, check_name, format_duration, parse_duration, parse_share, read_seed,
    share_target,
};

fn load(text: &str, env: &[(&str, &str)], flags: Layer) -> Result<Config, ConfigError> {
    let home = tempfile::tempdir().unwrap();
    if !text.is_empty() {
        std::fs::write(home.path().join(FILE_NAME), text).unwrap();
    }
    let env: HashMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let get = |name: &str| env.get(name).cloned();
    Config::load(home.path(), &Environment::new(&get), flags)
}

fn file(text: &str) -> Result<Config, ConfigError> {
    load(text, &[], Layer::default())
}

const EVERY_KEY: &str = r#"
name = "workstation"
api = "127.0.0.1:8000"
listen = ["/ip4/127.0.0.1/tcp/9000"]
mdns = false
description = "the one under the desk"
policy = "rules.toml"

[metadata]
room = "attic"
level = { floor = 3 }

[pins]
"o://acme/sales" = "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU"
"192.0.2.1" = "12D3KooWDvP6FWsRygrC8hN1cAQ5x92FQLsTXXXZYekN9eGTsZUU"

[[peers]]
address = "/ip4/192.0.2.1/tcp/7338"

[[peers]]
address = "/ip4/192.0.2.2/udp/7338/quic-v1"

[shares.files]
command = "npx -y server /data"
args = ["--read only"]
env = { TOKEN = "secret" }
cwd = "/data"
allow = ["o://acme/sales"]

[shares.web]
url = "https://user:pass@example.org/mcp?key=1"
allow = "public"

[mcp]
pinned = ["files-list"]
all_tools = true
not_after_remote = ["*/shell/*"]

[[gateways]]
prefix = "o://acme/partners"
via = "o://acme/gate"

[[forwards]]
prefix = "o://acme/partners"
allow = ["o://acme/staff"]

[limits]
request_timeout = "2m"
session_idle = "1h"
connections = 100
connections_per_second = 10
streams = 1000
bytes_in_flight = "1GiB"

[limits.member]
streams = 200
bytes_in_flight = "100MiB"
calls_per_second = 1000

[limits.stranger]
streams = 8
bytes_in_flight = "65536"
calls_per_second = 5

[guard]
outgoing = "warn"
answers = "refuse"

[guard.shares]
files = "off"

[guard.peers]
"o://acme/vault" = "off"

[audit]
calls = true
size = "1MiB"
files = 9
"#;

#[test]
fn without_a_file_the_defaults_hold() {
    let config = file("").unwrap();
    assert_eq!(config.api.to_string(), "127.0.0.1:7337");
    assert!(config.listen.is_empty(), "the mesh chooses");
    assert!(config.mdns && config.shares.is_empty() && config.peers.is_empty());
    assert!(check_name(&config.name).is_ok());
    assert_eq!(config.origin("name"), Origin::Default);
    assert_eq!(config.limits.request_timeout, Duration::from_secs(60));
}

#[test]
fn every_documented_key_is_read() {
    let config = file(EVERY_KEY).unwrap();
    assert_eq!(config.name, "workstation");
    assert_eq!(config.api.port(), 8000);
    assert!(!config.mdns);
    assert_eq!(
        (config.pins.names.len(), config.pins.addresses.len()),
        (1, 1)
    );
    let policy = config.policy_file();
    assert!(policy.required && policy.path.ends_with("rules.toml"));
    assert_eq!(config.metadata["level"]["floor"], 3);
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.shares.len(), 2);
    assert_eq!(config.shares[0].args, ["--read only"]);
    assert_eq!(
        config.shares[0].allow,
        Allow::Listed(vec!["o://acme/sales".to_owned()])
    );
    assert_eq!(config.shares[1].allow, Allow::One("public".to_owned()));
    assert_eq!(config.mcp.pinned, ["files-list"]);
    assert!(config.mcp.all_tools);
    assert_eq!(config.mcp.not_after_remote, ["*/shell/*"]);
    assert_eq!(config.gateways.via[0].via.as_str(), "o://acme/gate");
    let audience = config.gateways.forwards[0].audience.to_string();
    assert_eq!(audience, "o://acme/staff");
    assert_eq!(config.limits.session_idle, Duration::from_secs(3_600));
    let limits = peerage_mesh::Limits {
        connections: 100,
        connections_per_second: 10,
        streams: 1000,
        bytes_in_flight: 1 << 30,
        member: peerage_mesh::PeerLimits {
            streams: 200,
            bytes_in_flight: 100 << 20,
            calls_per_second: 1000,
        },
        stranger: peerage_mesh::PeerLimits {
            streams: 8,
            bytes_in_flight: 65_536,
            calls_per_second: 5,
        },
    };
    assert_eq!(config.limits.peers, limits);
    let (audit, guard) = (config.audit, &config.secrets);
    assert_eq!((audit.calls, audit.size, audit.files), (true, 1 << 20, 9));
    assert_eq!((guard.outgoing, guard.answers), (Mode::Warn, Mode::Refuse));
    assert_eq!(guard.shares["files"], Mode::Off);
    let vault = Subject::Name("o://acme/vault".parse().unwrap());
    assert_eq!(guard.peers, [(vault, Mode::Off)]);
}

#[test]
fn what_the_guard_is_told_is_checked() {
    for wrong in [
        "[guard]\noutgoing = \"ask\"",
        "[guard.shares]\nfiles = true",
        "[guard.peers]\nlaptop = \"off\"",
        "[guard]\nincoming = \"off\"",
    ] {
        assert!(file(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn settings_show_origins_and_no_secrets() {
    let config = file(EVERY_KEY).unwrap();
    let settings = config.settings();
    let text = serde_json::to_string(&settings).unwrap();
    assert!(
        !text.contains("secret") && !text.contains("pass") && !text.contains("key=1"),
        "{text}"
    );
    for setting in &settings {
        let from_file = matches!(setting.origin, Origin::File { .. });
        assert_eq!(from_file, setting.key != "identity", "{setting:?}");
    }
    let line = |key| match config.origin(key) {
        Origin::File { line, .. } => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(line("name"), 2);
    assert_eq!(line("mcp.pinned"), 35);
    assert_eq!(line("shares.web"), 30);
}

#[test]
fn the_environment_beats_the_file_and_flags_beat_both() {
    let env = [
        ("PEERAGE_NAME", "from-env"),
        ("PEERAGE_API", "127.0.0.1:8001"),
        (
            "PEERAGE_LISTEN",
            "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2",
        ),
        ("PEERAGE_PEERS", "/ip4/192.0.2.3/tcp/7338"),
        ("PEERAGE_MDNS", "yes"),
        ("PEERAGE_ALL_TOOLS", ""),
    ];
    let flags = Layer {
        api: Some("127.0.0.1:0".parse().unwrap()),
        peers: vec![PeerEntry {
            address: "/ip4/192.0.2.4/tcp/7338".parse().unwrap(),
        }],
        shares: [(
            "files".to_owned(),
            parse_share("files=other").unwrap().into(),
        )]
        .into(),
        identity: Some(IdentitySource::InsecurePhrase(Phrase::new("hush"))),
        ..Layer::default()
    };
    let config = load(EVERY_KEY, &env, flags).unwrap();
    assert_eq!(config.name, "from-env");
    assert_eq!(config.origin("name").to_string(), "PEERAGE_NAME");
    assert_eq!(config.api.port(), 0);
    assert_eq!(config.origin("api").to_string(), "--api");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.peers.len(), 4);
    assert!(config.mdns);
    assert!(config.mcp.all_tools, "an empty variable says nothing");
    assert_eq!(config.shares.len(), 2);
    assert_eq!(config.shares[0].command.as_deref(), Some("other"));
    assert_eq!(config.origin("shares.files").to_string(), "--share");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn an_unknown_key_names_its_line_and_the_near_one() {
    let near = |text: &str| match file(text).unwrap_err() {
        ConfigError::UnknownKey {
            line, key, near, ..
        } => (line, key, near),
        other => panic!("{other}"),
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(near("\nnmae = 'a'"), (2, "nmae".to_owned(), some("name")));
    assert_eq!(
        near("mdns = true\n[shares.x]\ncomand = 'a'"),
        (3, "shares.x.comand".to_owned(), some("shares.x.command"))
    );
    assert_eq!(near("[[peers]]\nadress = 'a'").2, some("peers.address"));
    assert_eq!(near("[mcp]\nall-tools = true").2, some("mcp.all_tools"));
    assert_eq!(near("pinned = []").2, some("mcp.pinned"));
    assert_eq!(near("zzz = 1").2, None);

    let problem = Problem::from(file("nmae = 'a'").unwrap_err());
    assert_eq!(problem.code, "config_unknown_key");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `name`?"));
    assert!(
        problem
            .detail
            .contains("peerage.toml:1: unknown key `nmae`"),
        "{problem}"
    );
}

#[test]
fn a_wrong_value_names_its_line() {
    let line = |text: &str| match file(text).unwrap_err() {
        ConfigError::Invalid { line, message, .. } => (line, message),
        other => panic!("{other}"),
    };
    assert_eq!(line("name = 'a'\nmdns = 3").0, 2);
    assert_eq!(line("name = 'a'\nname = 'b'").0, 2);
    assert_eq!(line("\n\nlisten = ['here']").0, 3);
    assert_eq!(line("api = 'nowhere'").0, 1);
    assert_eq!(line("[metadata]\n[limits]\nsession_idle = 'soon'").0, 3);
    assert_eq!(line("peers = 3").0, 1);
    assert_eq!(line("shares = { a = 3 }").0, 1);
    assert_eq!(line("[[peers]]\nx = {").0, 2);

    let value = |text: &str| match file(text).unwrap_err() {
        ConfigError::Value { origin, message } => (origin.to_string(), message),
        other => panic!("{other}"),
    };
    let (origin, message) = value("\nname = '../x'");
    assert!(origin.ends_with("peerage.toml:2"), "{origin}: {message}");
    let (origin, message) = value("[shares.x]\nallow = 'mesh'");
    assert!(origin.ends_with("peerage.toml:1"), "{origin}: {message}");
}

#[test]
fn a_wrong_variable_is_named() {
    let error = load("", &[("PEERAGE_API", "here")], Layer::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("PEERAGE_API: `here`: "),
        "{error}"
    );
    let error = load(
        "",
        &[("PEERAGE_LISTEN", "/ip4/1.2.3.4/tcp/1,x")],
        Layer::default(),
    );
    assert!(error.unwrap_err().to_string().contains("`x`"));
}

#[test]
fn node_names_are_safe_as_folders() {
    for good in ["a", "workstation", "Ann-2.lan", "0_x"] {
        check_name(good).unwrap();
    }
    for bad in ["", ".", "..", "-x", "a/b", "a b", "ä", &"x".repeat(64)] {
        check_name(bad).unwrap_err();
    }
}

#[test]
fn shares_are_read_as_people_write_them() {
    let stdio = parse_share("files=npx -y 'my server' /data").unwrap();
    assert_eq!(stdio.command.as_deref(), Some("npx -y 'my server' /data"));
    assert_eq!(share_target(&stdio), "npx");
    let http = parse_share("web=https://ann:pw@example.org:1/mcp?a=b@c#d").unwrap();
    assert_eq!(share_target(&http), "https://example.org:1/mcp");
    assert!(!format!("{http:?}").contains("pw"));

    assert!(matches!(parse_share("files"), Err(ShareError::Form(_))));
    assert!(matches!(parse_share("a/b=x"), Err(ShareError::Name(_))));
    assert!(matches!(parse_share("=x"), Err(ShareError::Name(_))));
    assert!(matches!(parse_share("a="), Err(ShareError::Empty(_))));
    assert!(matches!(parse_share("a='x"), Err(ShareError::Quotes(_))));
    assert!(matches!(parse_share("a=https://"), Err(ShareError::Url(_))));
}

#[test]
fn durations_are_read_and_written() {
    for (text, seconds) in [
        ("90", 90),
        ("30s", 30),
        ("15m", 900),
        ("2h", 7_200),
        ("1d", 86_400),
    ] {
        assert_eq!(parse_duration(text).unwrap().as_secs(), seconds, "{text}");
    }
    for bad in [
        "",
        "m",
        "0",
        "1.5m",
        "-1s",
        "10 m",
        "1w",
        "400d",
        "99999999999999999999d",
        "1é",
    ] {
        parse_duration(bad).unwrap_err();
    }
    for seconds in [1, 59, 60, 90, 3_600, 5_400, 86_400] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(
            parse_duration(&format_duration(duration)).unwrap(),
            duration
        );
    }
}

#[test]
fn a_seed_file_is_read_and_what_is_wrong_with_it_is_told() {
    let home = tempfile::tempdir().unwrap();
    let read = |bytes: &[u8]| {
        let path: PathBuf = home.path().join("seed");
        std::fs::write(&path, bytes).unwrap();
        read_seed(&path)
    };
    let random: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 37 % 251).unwrap());
    assert_eq!(*read(&random).unwrap(), random);
    for guessable in [
        &b"correct horse battery staple"[..],
        &[7; 32],
        &[b'z'; 9000],
    ] {
        let problem = Problem::from(read(guessable).unwrap_err());
        assert_eq!(problem.code, "seed_guessable");
        assert!(problem.hint.unwrap().contains("/dev/urandom"));
    }
    assert!(matches!(
        read_seed(&home.path().join("none")),
        Err(SeedFileError::Read { .. })
    ));
}

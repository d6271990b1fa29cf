use std::time::Duration;

use super::{
    file::{Filter, Log, read},
    tidy,
    writer::line_time,
};
use crate::api::{AuditEntry, AuditVerdict};

fn entry(at: u64, who: &str, verdict: AuditVerdict) -> AuditEntry {
    AuditEntry {
        time: line_time(Duration::from_millis(at)),
        verdict,
        action: "call".to_owned(),
        object: "GET /x".to_owned(),
        who: who.to_owned(),
        name: None,
        claims: None,
        rule: None,
        status: None,
        bytes_in: None,
        bytes_out: None,
        ms: None,
        count: None,
        lost: None,
    }
}

fn line(entry: &AuditEntry) -> Vec<u8> {
    let mut line = serde_json::to_vec(entry).unwrap();
    line.push(b'\n');
    line
}

#[test]
fn times_can_be_compared_as_texts() {
    assert_eq!(
        line_time(Duration::from_millis(1_795_234_575_007)),
        "2026-11-21T04:16:15.007Z"
    );
    assert!(line_time(Duration::from_millis(999)) < line_time(Duration::from_millis(1_000)));
}

#[test]
fn what_others_say_is_short_and_on_one_line() {
    assert_eq!(tidy("a\nb\u{1b}[2J"), "ab[2J");
    assert!(tidy(&"ä".repeat(10_000)).len() < 300);
}

#[test]
fn files_are_turned_over_and_only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let one = line(&entry(0, "local", AuditVerdict::Changed));
    let most = one.len() as u64 * 10;
    let mut log = Log::new(path.clone(), most, 3);
    for n in 0..1000 {
        let one = line(&entry(n, "local", AuditVerdict::Changed));
        log.add(&one).unwrap();
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let sizes: Vec<u64> = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    assert!(
        sizes.len() == 3 && sizes.iter().all(|size| *size <= most),
        "{sizes:?}"
    );
    let found = read(&path, 3, &Filter::default(), 25).unwrap();
    assert_eq!(found.len(), 25);
    assert_eq!(found[24].time, line_time(Duration::from_millis(999)));
    assert!(
        found
            .iter()
            .zip(found.iter().skip(1))
            .all(|(a, b)| a.time < b.time)
    );
}

#[test]
fn what_a_kill_left_of_a_line_costs_that_line_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (a, b) = (
        entry(1, "local", AuditVerdict::Changed),
        entry(2, "x", AuditVerdict::Refused),
    );
    let mut cut = line(&a);
    cut.extend_from_slice(b"{\"time\":\"20");
    std::fs::write(&path, cut).unwrap();
    let mut log = Log::new(path.clone(), 1 << 20, 2);
    log.add(&line(&b)).unwrap();
    let found = read(&path, 2, &Filter::default(), 10).unwrap();
    assert_eq!(found, [a, b]);
}

#[test]
fn filters_choose() {
    let filter = Filter {
        since: Some(line_time(Duration::from_secs(10))),
        who: Some("x".to_owned()),
        verdict: Some(AuditVerdict::Refused),
    };
    assert!(filter.fits(&entry(10_000, "x", AuditVerdict::Refused)));
    assert!(!filter.fits(&entry(9_999, "x", AuditVerdict::Refused)));
    assert!(!filter.fits(&entry(10_000, "y", AuditVerdict::Refused)));
    assert!(!filter.fits(&entry(10_000, "x", AuditVerdict::Changed)));
}

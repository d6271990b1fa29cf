use bytes::Bytes;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Mode, scanner::Scanner};

const TOKEN: &str = "ghp_q7ZtW2mXc9LrB4nKvP8sYd3HfJ6gTa1Q5wEeRxU0";

fn redacted(text: &str, cuts: &[usize]) -> (String, usize) {
    let (mut scanner, mut out, mut found) = (Scanner::default(), Vec::new(), 0);
    let mut start = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        let end = cut.clamp(start, text.len());
        let piece = Bytes::copy_from_slice(&text.as_bytes()[start..end]);
        let passed = scanner.push(piece, end == text.len());
        found += passed.found.len();
        assert_eq!(passed.from, out.len() as u64);
        out.extend_from_slice(&passed.redacted());
        start = end;
    }
    if start < text.len() || scanner.held() > 0 {
        let passed = scanner.push(Bytes::new(), true);
        found += passed.found.len();
        out.extend_from_slice(&passed.redacted());
    }
    (String::from_utf8(out).unwrap(), found)
}

#[test]
fn modes_are_words() {
    for mode in Mode::ALL {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    assert!("Refuse".parse::<Mode>().is_err());
}

#[test]
fn an_event_that_holds_nothing_passes_at_once() {
    let mut scanner = Scanner::default();
    for event in ["data: {\"a\":1}\n\n", ": ping\n\n", "{\"x\":[]}\n"] {
        let passed = scanner.push(Bytes::from(event), false);
        assert_eq!(passed.bytes, event);
        assert_eq!(scanner.held(), 0);
    }
}

proptest! {
    #[test]
    fn a_token_never_passes_wherever_the_pieces_end(before: String, after: String, cuts in proptest::collection::vec(0..300_usize, 0..12)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let text = format!("{before} {TOKEN} {after}");
        let (out, found) = redacted(&text, &cuts);
        prop_assert_eq!(found, 1);
        prop_assert!(!out.contains(&TOKEN[4..12]));
        let stars = "*".repeat(TOKEN.len());
        prop_assert_eq!(out, format!("{before} {stars} {after}"));
    }
}

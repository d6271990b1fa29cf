//! Every target on its seeds, on seeds that are damaged a little, and on what fuzzing has found worth
//! keeping: what a stable compiler can do.

use std::{fs, path::Path};

use peerage_fuzz::{seeds, targets};

/// Damaged copies of one seed.
const COPIES: u64 = 400;

#[test]
fn no_target_fails_on_its_seeds_whole_cut_or_damaged() {
    for (name, target) in targets::ALL {
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            target(&seed);
            for end in (0..seed.len()).step_by(1 + seed.len() / 100) {
                target(&seed[..end]);
            }
            for copy in 0..COPIES {
                target(&damaged(&seed, copy));
            }
        }
    }
}

#[test]
fn no_target_fails_on_what_is_in_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in targets::ALL {
        let files = fs::read_dir(corpus.join(name)).expect("every target has a corpus");
        let mut inputs = 0;
        for file in files {
            target(&fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is empty");
    }
}

/// The seed with a few bytes changed, chosen by `copy` (xorshift, so that a failure repeats).
fn damaged(seed: &[u8], copy: u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let mut state = (copy + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..=copy % 4 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state >> 16).unwrap_or_default() % bytes.len().max(1);
        bytes[at] = state.to_le_bytes()[0];
    }
    bytes
}

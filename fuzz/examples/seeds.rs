//! Writes the seeds of every target to `corpus/TARGET/`, where `cargo fuzz run` looks for them.

use std::{fs, io, path::Path};

use peerage_fuzz::{seeds, targets};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, _) in targets::ALL {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(target).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

//! The files: lines are added to one; when it is full it becomes the first of those before it, and the oldest goes.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::api::{AuditEntry, AuditVerdict};

/// Bytes of a line, at the most: what is longer was not written here.
const MAX_LINE: u64 = 16 * 1024;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    most: u64,
    files: u32,
    open: Option<(File, u64)>,
}

impl Log {
    pub(super) fn new(path: PathBuf, most: u64, files: u32) -> Self {
        Self {
            path,
            most,
            files: files.max(1),
            open: None,
        }
    }

    /// Adds whole lines. A line that a kill left unfinished is ended first.
    pub(super) fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.try_add(lines);
        if written.is_err() {
            self.open = None;
        }
        written
    }

    fn try_add(&mut self, lines: &[u8]) -> io::Result<()> {
        let full = |size: u64| size > 0 && size + lines.len() as u64 > self.most;
        if self.open.as_ref().is_some_and(|(_, size)| full(*size)) {
            self.open = None;
            self.rotate()?;
        }
        let (file, size) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.path)?),
        };
        file.write_all(lines)?;
        *size += lines.len() as u64;
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        for age in (0..self.files).rev() {
            let from = aged(&self.path, age);
            let moved = if age + 1 == self.files {
                fs::remove_file(&from)
            } else {
                fs::rename(&from, aged(&self.path, age + 1))
            };
            match moved {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .read(true)
        .mode(0o600)
        .open(path)?;
    let size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        let mut end = &file;
        io::Seek::seek(&mut end, io::SeekFrom::End(-1))?;
        end.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, size))
}

/// `audit.jsonl`, `audit.1.jsonl`, …: the higher, the older.
fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        path.to_owned()
    } else {
        path.with_extension(format!("{age}.jsonl"))
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before this, RFC 3339 in UTC.
    pub since: Option<String>,
    /// Only of this one: a PeerId, `local` or `many`.
    pub who: Option<String>,
    /// Only with this verdict.
    pub verdict: Option<AuditVerdict>,
}

impl Filter {
    /// Whether a line is looked for.
    #[must_use]
    pub fn fits(&self, entry: &AuditEntry) -> bool {
        let since = self.since.as_ref().is_none_or(|since| entry.time >= *since);
        let who = self.who.as_ref().is_none_or(|who| entry.who == *who);
        since && who && self.verdict.is_none_or(|verdict| entry.verdict == verdict)
    }
}

/// The latest lines that fit, in the order of their time. What cannot be read as a line is left out. Blocks.
///
/// # Errors
///
/// When a file that is there cannot be read.
pub fn read(
    path: &Path,
    files: u32,
    filter: &Filter,
    limit: usize,
) -> io::Result<VecDeque<AuditEntry>> {
    let mut found = VecDeque::new();
    for age in (0..files.max(1)).rev() {
        let file = match File::open(aged(path, age)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if let Ok(entry) = serde_json::from_slice::<AuditEntry>(&line)
                && filter.fits(&entry)
            {
                if found.len() == limit {
                    found.pop_front();
                }
                found.push_back(entry);
            }
        }
    }
    Ok(found)
}

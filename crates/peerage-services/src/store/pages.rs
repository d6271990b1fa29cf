//! The store's file as it lies on the disk, read without redb: page by page, each held against its
//! checksum.
//!
//! redb checks a page only when it repairs, gives up a whole file for one bad page, and takes some
//! altered bytes as they are. What is read here is what was written, or is not there. The format is
//! redb's file format 3: a header with two commit slots, of which the newer counts, each with the roots
//! of two trees of tables; every reference to a page carries the page's XXH3.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use twox_hash::XxHash3_128;

/// Bytes of a page of order 0, and of the header.
const PAGE: usize = 4096;
/// What a file begins with.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Where the flags are.
const FLAGS: usize = 9;
/// The second slot is the one that was written last.
const SECOND_IS_PRIMARY: u8 = 1;
/// It is open, or was not closed.
const UNCLEAN: u8 = 2;
/// The primary slot was written after what it refers to was on the disk.
const TWO_PHASES: u8 = 4;
/// Where the sizes are: of a page, pages of a region's header, pages of a region, full regions, and pages
/// of the last one.
const SIZES: usize = 12;
/// Pages of a region.
const REGION: u32 = 1 << 20;
/// Where the two slots are.
const SLOTS: [usize; 2] = [64, 192];
/// Bytes of a slot, the last 16 of which are the checksum of the others.
const SLOT: usize = 128;
/// The version of the format.
const VERSION: u8 = 3;
/// Bytes of a root: page, checksum, entries.
const ROOT: usize = 32;
/// Deeper than any tree; a loop has a right checksum nowhere.
const MAX_DEPTH: usize = 24;
/// The kinds of pages.
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// A file, and what its header says.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    header: Vec<u8>,
    bytes: u64,
}

/// A state of the store that one slot refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    transaction: u64,
    /// The tables, and redb's own tables.
    tables: Option<Node>,
    own: Option<Node>,
}

/// What the header refers to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    /// The state that counts, as far as its slot is sound.
    pub(super) current: Option<Slot>,
    /// The state before, or one that was being written and was never acknowledged.
    pub(super) other: Option<Slot>,
    /// The header is as redb writes it, both slots included.
    pub(super) sound: bool,
    /// The slot that was written last is damaged: what was changed last is not there.
    pub(super) stepped_back: bool,
    /// Of two states the newer one counts, if all of it is there, whatever the header says: the last
    /// write was not known to be on the disk when the header was written.
    pub(super) one_phase: bool,
}

impl Slot {
    /// Whether this state is of a later change.
    pub(super) fn is_after(self, other: Self) -> bool {
        self.transaction > other.transaction
    }
}

/// A reference to a page.
#[derive(Clone, Copy, Debug)]
struct Node {
    page: u64,
    sum: u128,
}

/// Lengths of keys and values, where all are of one length.
#[derive(Clone, Copy, Debug, Default)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// What is handed each sound entry: its table, key and value.
type EachEntry<'a> = dyn FnMut(&str, &[u8], &[u8]) + 'a;

/// What one table of a state is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableState {
    pub(super) name: String,
    /// Entries that it had.
    pub(super) entries: u64,
    /// Pages of it that are damaged, with all that only they refer to.
    pub(super) damaged: usize,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut header = vec![0; PAGE.min(usize::try_from(bytes).unwrap_or(PAGE))];
        file.read_exact_at(&mut header, 0)?;
        header.resize(PAGE, 0);
        Ok(Self {
            file,
            header,
            bytes,
        })
    }

    /// Whether both slots are of a format that came after this program.
    pub(super) fn is_newer(&self) -> bool {
        let version = self.header[SLOTS[0]];
        self.header[..MAGIC.len()] == MAGIC && version > VERSION && self.header[SLOTS[1]] == version
    }

    /// What the header refers to.
    pub(super) fn slots(&self) -> Slots {
        let flags = self.header[FLAGS];
        let [first, second] = SLOTS.map(|at| slot(&self.header[at..at + SLOT]));
        let (primary, other) = if flags & SECOND_IS_PRIMARY == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let one_phase = flags & TWO_PHASES == 0;
        let (current, other) = match (primary, other) {
            (None, other) => (other, None),
            (Some(primary), Some(other)) if one_phase && other.is_after(primary) => {
                (Some(other), Some(primary))
            }
            both => both,
        };
        Slots {
            current,
            other,
            sound: first.is_some() && second.is_some() && self.geometry_is_sound(flags),
            stepped_back: primary.is_none(),
            one_phase: one_phase && flags & UNCLEAN != 0,
        }
    }

    /// Lets the other slot count from now on.
    pub(super) fn switch(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[self.header[FLAGS] ^ SECOND_IS_PRIMARY], FLAGS as u64)?;
        file.sync_all()
    }

    /// Whether the header has the sizes that this program's stores have, and the file the length that
    /// they give.
    fn geometry_is_sound(&self, flags: u8) -> bool {
        let size = |n: usize| u32_at(&self.header, SIZES + 4 * n).unwrap_or(u32::MAX);
        let page = PAGE as u64;
        let pages = u64::from(size(3)) * u64::from(REGION) + u64::from(size(4));
        let told = (1 + pages) * page;
        // A file grows before its header says so, and shrinks after that.
        let length = if flags & UNCLEAN == 0 {
            self.bytes == told
        } else {
            self.bytes.is_multiple_of(page) && self.bytes >= told
        };
        self.header[..MAGIC.len()] == MAGIC
            && flags & !(SECOND_IS_PRIMARY | UNCLEAN | TWO_PHASES) == 0
            && (size(0), size(1), size(2)) == (4096, 0, REGION)
            && length
    }

    /// Hands every sound entry of a state to `each`, and returns what its tables are like, and whether
    /// they are all that there were.
    pub(super) fn read(&self, slot: Slot, each: &mut EachEntry<'_>) -> (Vec<TableState>, bool) {
        self.tables(slot.tables, each)
    }

    /// Whether every page of a state is sound, those with redb's own notes included.
    pub(super) fn is_sound(&self, slot: Slot) -> bool {
        [slot.tables, slot.own].into_iter().all(|root| {
            let (tables, whole) = self.tables(root, &mut |_, _, _| {});
            whole && tables.iter().all(|table| table.damaged == 0)
        })
    }

    fn tables(&self, root: Option<Node>, each: &mut EachEntry<'_>) -> (Vec<TableState>, bool) {
        let mut tables = Vec::new();
        let mut unread = 0;
        let damaged = self.walk(root, Widths::default(), 0, &mut |name, definition| {
            let name = String::from_utf8_lossy(name).into_owned();
            let Some((root, entries, widths)) = table(definition) else {
                unread += 1;
                return;
            };
            let mut hand = |key: &[u8], value: &[u8]| each(&name, key, value);
            let damaged = self.walk(root, widths, 0, &mut hand);
            tables.push(TableState {
                name,
                entries,
                damaged,
            });
        });
        (tables, damaged + unread == 0)
    }

    /// Hands every entry below a page to `each`; returns how many pages are damaged.
    fn walk(
        &self,
        node: Option<Node>,
        widths: Widths,
        depth: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> usize {
        let Some(node) = node else { return 0 };
        let Some(page) = self.page(node, widths) else {
            return 1;
        };
        if page[0] == LEAF {
            let Some(entries) = entries(&page, widths) else {
                return 1;
            };
            for (key, value) in entries {
                each(&page[key], &page[value]);
            }
            return 0;
        }
        let Some(children) = children(&page).filter(|_| depth < MAX_DEPTH) else {
            return 1;
        };
        let below = children
            .into_iter()
            .map(|child| self.walk(Some(child), widths, depth + 1, each));
        below.sum()
    }

    /// A page, as far as its checksum goes; none when that is not right.
    fn page(&self, node: Node, widths: Widths) -> Option<Vec<u8>> {
        let order = u32::try_from(node.page >> 59).ok()?;
        let index = node.page & (0x000f_ffff_u64 >> order);
        let region = (node.page >> 20) & 0x000f_ffff;
        let page = PAGE as u64;
        let length = page << order;
        let start = page + region * u64::from(REGION) * page + index * length;
        if start >= self.bytes {
            return None;
        }
        // Of the last page of a file that was cut there may be all that counts.
        let length = usize::try_from(length.min(self.bytes - start)).ok()?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).ok()?;
        let end = match *bytes.first()? {
            LEAF => entries(&bytes, widths)?.last()?.1.end,
            BRANCH => branch_end(&bytes, widths)?,
            _ => return None,
        };
        bytes.truncate(end);
        (bytes.len() == end && XxHash3_128::oneshot(&bytes) == node.sum).then_some(bytes)
    }
}

fn slot(bytes: &[u8]) -> Option<Slot> {
    let (content, sum) = bytes.split_at(SLOT - 16);
    let sum = u128::from_le_bytes(sum.try_into().ok()?);
    if content[0] != VERSION || XxHash3_128::oneshot(content) != sum {
        return None;
    }
    let root = |there: usize, at: usize| match content[there] {
        0 => None,
        _ => root(content.get(at..at + ROOT)?),
    };
    Some(Slot {
        transaction: u64::from_le_bytes(content[104..112].try_into().ok()?),
        tables: root(1, 8),
        own: root(2, 8 + ROOT),
    })
}

fn root(bytes: &[u8]) -> Option<Node> {
    Some(Node {
        page: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
        sum: u128::from_le_bytes(bytes.get(8..24)?.try_into().ok()?),
    })
}

/// What the list of tables says of one: its root, how many entries it has, and their lengths.
fn table(definition: &[u8]) -> Option<(Option<Node>, u64, Widths)> {
    /// A table with one value for each key.
    const NORMAL: u8 = 3;
    if definition.first() != Some(&NORMAL) {
        return None;
    }
    let entries = u64::from_le_bytes(definition.get(1..9)?.try_into().ok()?);
    let there = |at: usize| definition.get(at).map(|byte| *byte != 0);
    let node = match there(9)? {
        true => Some(root(definition.get(10..10 + ROOT)?)?),
        false => None,
    };
    let width = |at: usize| {
        Some(match there(at)? {
            true => Some(u32_at(definition, at + 1)? as usize),
            false => None,
        })
    };
    let widths = Widths {
        key: width(42)?,
        value: width(47)?,
    };
    Some((node, entries, widths))
}

/// Where the keys and values of a leaf are.
fn entries(page: &[u8], widths: Widths) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let count = usize::from(u16::from_le_bytes(page.get(2..4)?.try_into().ok()?));
    // The ends of what has no fixed length come first.
    let key_ends = 4;
    let value_ends = key_ends + if widths.key.is_none() { 4 * count } else { 0 };
    let keys = value_ends + if widths.value.is_none() { 4 * count } else { 0 };
    let end = |width: Option<usize>, start: usize, ends: usize, n: usize| match width {
        Some(width) => start.checked_add(width.checked_mul(n + 1)?),
        None => Some(u32_at(page, ends + 4 * n)? as usize),
    };
    let values = end(widths.key, keys, key_ends, count.checked_sub(1)?)?;
    let (mut key, mut value) = (keys, values);
    let mut found = Vec::with_capacity(count);
    for n in 0..count {
        let ends = (
            end(widths.key, keys, key_ends, n)?,
            end(widths.value, values, value_ends, n)?,
        );
        found.push((key..ends.0, value..ends.1));
        let in_order = key <= ends.0 && ends.0 <= values && value <= ends.1;
        if !in_order || ends.1 > page.len() {
            return None;
        }
        (key, value) = ends;
    }
    Some(found)
}

/// How many keys a branch has; it has one child more.
fn keys(page: &[u8]) -> Option<usize> {
    let keys = u16::from_le_bytes(page.get(2..4)?.try_into().ok()?);
    Some(usize::from(keys)).filter(|keys| *keys > 0)
}

/// Where what the checksum of a branch covers ends.
fn branch_end(page: &[u8], widths: Widths) -> Option<usize> {
    let keys = keys(page)?;
    let after_children = 8 + 24 * (keys + 1);
    match widths.key {
        Some(width) => after_children.checked_add(width.checked_mul(keys)?),
        None => Some(u32_at(page, after_children + 4 * (keys - 1))? as usize),
    }
}

fn children(page: &[u8]) -> Option<Vec<Node>> {
    let count = keys(page)? + 1;
    let child = |n: usize| {
        let (sum, at) = (8 + 16 * n, 8 + 16 * count + 8 * n);
        Some(Node {
            page: u64::from_le_bytes(page.get(at..at + 8)?.try_into().ok()?),
            sum: u128::from_le_bytes(page.get(sum..sum + 16)?.try_into().ok()?),
        })
    };
    (0..count).map(child).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

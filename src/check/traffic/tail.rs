//! Following a log file: the lines that were added since the last look, across its rotation.
//!
//! It starts at the file's end, since old lines are no news. A file that was renamed and made
//! anew is read to its end before the new one, and for some looks more, because its writer goes
//! on with it until it is told. A file that was cut to nothing (copytruncate) is read from its
//! start; what was written between the copy and the cut is lost, as it is to everybody. It never
//! blocks on what is no plain file, and reads a bounded number of bytes at a look.
#![forbid(unsafe_code)]

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of news read at one look, some 40,000 requests; what is more is skipped.
const NEWS_LEN_MAX: u64 = 8 * 1024 * 1024;

/// A line that is longer is not kept until its end comes. nginx takes 8 KiB each of request,
/// referer and agent unless it is told otherwise.
const LINE_LEN_MAX: usize = 64 * 1024;

/// Read at once.
const CHUNK_LEN: usize = 16 * 1024;

/// Looks without news after which a file that was renamed is let go: a minute at the usual 5 s.
/// Programs that rotate logs tell the writer within seconds.
const IDLE_LOOKS_MAX: u32 = 12;

/// Follows one path.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    current: Option<Followed>,
    /// What was there before it was renamed.
    previous: Option<Followed>,
    /// The file was missing at a look, so that all of it will be news.
    was_missing: bool,
}

/// A file that is being followed.
#[derive(Debug)]
struct Followed {
    file: File,
    id: (u64, u64),
    offset: u64,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// What comes up to the next line end belongs to a line that is not wanted.
    is_skipping: bool,
    idle_looks: u32,
}

/// What one look has used up, and what it had to leave out.
struct Look<'a> {
    room: u64,
    skipped: u64,
    each: &'a mut dyn FnMut(&[u8]),
}

impl Tail {
    pub(super) fn new(path: &Path) -> Tail {
        Tail {
            path: path.to_path_buf(),
            current: None,
            previous: None,
            was_missing: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands on every line that has come since the last look, without its end, and says how many
    /// bytes were too many to be read. A line that is too long is handed on as an empty one with
    /// its rest left out.
    ///
    /// # Errors
    /// The file cannot be read, or is no plain file.
    pub(super) fn look(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
        let mut look = Look {
            room: NEWS_LEN_MAX,
            skipped: 0,
            each,
        };
        if let Some(previous) = &mut self.previous {
            let is_over = previous.read(&mut look).is_err();
            if is_over || previous.idle_looks >= IDLE_LOOKS_MAX {
                self.previous = None;
            }
        }
        if let Some(current) = &mut self.current {
            if let Err(error) = current.read(&mut look) {
                self.current = None;
                return Err(error);
            }
        }
        self.follow(&mut look)?;
        Ok(look.skipped)
    }

    /// Goes over to what has the name now.
    fn follow(&mut self, look: &mut Look<'_>) -> io::Result<()> {
        let metadata = match fs::metadata(&self.path) {
            // Renamed and not made anew yet: its writer still has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.current.is_some() => {
                return Ok(());
            }
            Err(error) => {
                self.was_missing = error.kind() == io::ErrorKind::NotFound;
                return Err(error);
            }
            Ok(metadata) => metadata,
        };
        // Opening a named pipe would wait for its writer.
        if !metadata.is_file() {
            return Err(io::Error::other("not a plain file"));
        }
        let is_it = |it: &Followed| it.id == id_of(&metadata);
        if self.current.as_ref().is_some_and(is_it) {
            return Ok(());
        }
        let is_news = self.was_missing || self.current.is_some();
        if let Some(current) = &mut self.current {
            // However quiet it was, its writer may only be told in a while.
            current.idle_looks = 0;
        }
        let mut opened = Followed::open(&self.path, is_news)?;
        self.was_missing = false;
        let read = opened.read(look);
        self.previous = self.current.replace(opened);
        read
    }
}

fn id_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Followed {
    /// At its start if all of it is news, otherwise at its end.
    fn open(path: &Path, is_news: bool) -> io::Result<Followed> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let offset = if is_news { 0 } else { metadata.len() };
        let mut last = *b"\n";
        if offset > 0 {
            file.read_at(&mut last, offset - 1)?;
        }
        Ok(Followed {
            file,
            id: id_of(&metadata),
            offset,
            partial: Vec::new(),
            is_skipping: last != *b"\n",
            idle_looks: 0,
        })
    }

    fn read(&mut self, look: &mut Look<'_>) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        if len < self.offset {
            self.jump(0);
            self.is_skipping = false;
        }
        let news = len - self.offset;
        self.idle_looks = if news == 0 { self.idle_looks + 1 } else { 0 };
        if news > look.room {
            look.skipped += news - look.room;
            self.jump(len - look.room);
            self.is_skipping = true;
        }
        let mut chunk = vec![0; CHUNK_LEN];
        while self.offset < len {
            let at_most = usize::try_from(len - self.offset).unwrap_or(CHUNK_LEN);
            let room = &mut chunk[..at_most.min(CHUNK_LEN)];
            let read = match self.file.read_at(room, self.offset) {
                // Cut between the two looks at it; the next one will see.
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.offset += read as u64;
            look.room = look.room.saturating_sub(read as u64);
            self.take(&chunk[..read], look.each);
        }
        Ok(())
    }

    fn jump(&mut self, offset: u64) {
        self.offset = offset;
        self.partial.clear();
    }

    fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = piece.ends_with(b"\n");
            if self.is_skipping {
                self.is_skipping = !is_whole;
                continue;
            }
            if is_whole && self.partial.is_empty() {
                each(without_end(piece));
                continue;
            }
            self.partial.extend_from_slice(piece);
            if is_whole {
                each(without_end(&self.partial));
                self.partial.clear();
            } else if self.partial.len() > LINE_LEN_MAX {
                each(b"");
                self.partial = Vec::new();
                self.is_skipping = true;
            }
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

//! Bodies of answers as a client gets them, in pieces of any size (RFC 9112 sections 6 and 7).
//!
//! [`Body`] keeps the beginning, up to a limit that the caller sets, and tells when the end has
//! come. Names and values of chunk extensions and trailers mean nothing here.
#![forbid(unsafe_code)]

use super::response::Framing;

/// The line before a chunk: 16 digits and perhaps an extension, which hardly anybody sends.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// All trailers together.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Where the reading of a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to come.
    More,
    /// This was all.
    Over,
    /// There is more, and it would not be kept.
    Full,
}

/// The beginning of a body.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) kept: Vec<u8>,
    kept_max: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UntilClose,
    /// So many bytes are left.
    Length(u64),
    /// In the line before a chunk.
    Size(SizeLine),
    /// In a chunk, of which so many bytes are left.
    Chunk(u64),
    /// Behind a chunk; a carriage return may have come.
    ChunkEnd {
        has_return: bool,
    },
    /// Behind the last chunk: bytes of the line so far, bytes of all lines so far.
    Trailer {
        line: usize,
        all: usize,
    },
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SizeLine {
    size: u64,
    digits: usize,
    /// The digits are over, and what follows is skipped up to the line's end.
    is_skipping: bool,
    len: usize,
}

impl Body {
    pub(crate) fn new(framing: Framing, kept_max: usize) -> Body {
        Body {
            kept: Vec::new(),
            kept_max,
            state: match framing {
                Framing::None | Framing::Length(0) => State::Over,
                Framing::Length(len) => State::Length(len),
                Framing::Chunked => State::Size(SizeLine::default()),
                Framing::UntilClose => State::UntilClose,
            },
        }
    }

    /// Takes the bytes that have come. Those behind the end have no meaning.
    ///
    /// # Errors
    /// Why the body is malformed.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Progress, &'static str> {
        loop {
            let is_full = self.kept.len() >= self.kept_max;
            bytes = match (self.state, bytes.split_first()) {
                (State::Over, _) => return Ok(Progress::Over),
                // What is announced need not have come.
                (State::Length(_) | State::Chunk(_), _) if is_full => return Ok(Progress::Full),
                (_, None) => return Ok(Progress::More),
                (State::UntilClose, _) if is_full => return Ok(Progress::Full),
                (State::UntilClose | State::Length(_) | State::Chunk(_), _) => self.keep(bytes),
                (state, Some((byte, rest))) => {
                    self.state = after(state, *byte)?;
                    rest
                }
            };
        }
    }

    /// Whether the body is whole now that the connection is closed.
    pub(crate) fn may_end_here(&self) -> bool {
        matches!(self.state, State::Over | State::UntilClose)
    }

    /// Keeps what belongs to this piece of the body, and says what follows it.
    fn keep<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.kept_max - self.kept.len();
        let left = match self.state {
            State::Length(left) | State::Chunk(left) => left,
            _ => u64::MAX,
        };
        let len = usize::try_from(left).unwrap_or(usize::MAX);
        let (taken, rest) = bytes.split_at(len.min(room).min(bytes.len()));
        self.kept.extend_from_slice(taken);
        let left = left - taken.len() as u64;
        self.state = match self.state {
            State::Length(_) if left == 0 => State::Over,
            State::Length(_) => State::Length(left),
            State::Chunk(_) if left == 0 => State::ChunkEnd { has_return: false },
            State::Chunk(_) => State::Chunk(left),
            other => other,
        };
        rest
    }
}

/// The state after one more byte of what stands between the chunks.
fn after(state: State, byte: u8) -> Result<State, &'static str> {
    match state {
        State::Size(line) => after_in_size(line, byte),
        State::ChunkEnd { has_return } => match byte {
            b'\n' => Ok(State::Size(SizeLine::default())),
            b'\r' if !has_return => Ok(State::ChunkEnd { has_return: true }),
            _ => Err("a chunk longer than its size"),
        },
        State::Trailer { line, all } => match byte {
            b'\n' if line == 0 => Ok(State::Over),
            b'\n' => Ok(State::Trailer { line: 0, all }),
            _ if all >= TRAILER_BYTES_MAX => Err("trailers over 8 KiB"),
            b'\r' => Ok(State::Trailer { line, all: all + 1 }),
            _ => Ok(State::Trailer {
                line: line + 1,
                all: all + 1,
            }),
        },
        other => Ok(other),
    }
}

fn after_in_size(line: SizeLine, byte: u8) -> Result<State, &'static str> {
    if line.len >= SIZE_LINE_BYTES_MAX {
        return Err("a chunk's extension over 256 bytes");
    }
    let mut next = SizeLine {
        len: line.len + 1,
        ..line
    };
    match (byte, char::from(byte).to_digit(16)) {
        (b'\n', _) if line.digits == 0 => return Err("a chunk without a size"),
        (b'\n', _) if line.size == 0 => return Ok(State::Trailer { line: 0, all: 0 }),
        (b'\n', _) => return Ok(State::Chunk(line.size)),
        _ if line.is_skipping => {}
        (_, Some(digit)) if line.digits < 16 => {
            next.size = line.size << 4 | u64::from(digit);
            next.digits += 1;
        }
        (b';' | b' ' | b'\t' | b'\r', _) if line.digits > 0 => next.is_skipping = true,
        _ => return Err("a chunk's size that is not a number"),
    }
    Ok(State::Size(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &[u8] = b"4\r\nWiki\r\n00A;x=\"y\" z\r\n in\r\nchunk\r\n0\r\nA: b\r\n\r\n";

    fn read(framing: Framing, bytes: &[u8]) -> (Result<Progress, &'static str>, Vec<u8>, bool) {
        let mut body = Body::new(framing, 16);
        let progress = body.feed(bytes);
        let may_end = body.may_end_here();
        (progress, body.kept, may_end)
    }

    #[test]
    fn each_framing_tells_its_end() {
        for (framing, bytes, progress, kept, may_end) in [
            (Framing::None, &b"x"[..], Progress::Over, &b""[..], true),
            (Framing::Length(0), b"x", Progress::Over, b"", true),
            (Framing::Length(2), b"abc", Progress::Over, b"ab", true),
            (Framing::Length(4), b"abc", Progress::More, b"abc", false),
            (Framing::UntilClose, b"abc", Progress::More, b"abc", true),
            (
                Framing::Chunked,
                CHUNKS,
                Progress::Over,
                b"Wiki in\r\nchunk",
                true,
            ),
            (Framing::Chunked, b"0\n\nx", Progress::Over, b"", true),
            (Framing::Chunked, b"1\r\na\r\n", Progress::More, b"a", false),
            (Framing::Chunked, b"0\r\n", Progress::More, b"", false),
            (
                Framing::Length(16),
                &[b'x'; 17],
                Progress::Over,
                &[b'x'; 16],
                true,
            ),
            (
                Framing::Length(17),
                &[b'x'; 17],
                Progress::Full,
                &[b'x'; 16],
                false,
            ),
            (
                Framing::Length(17),
                &[b'x'; 16],
                Progress::Full,
                &[b'x'; 16],
                false,
            ),
            (
                Framing::UntilClose,
                &[b'x'; 17],
                Progress::Full,
                &[b'x'; 16],
                true,
            ),
            (
                Framing::UntilClose,
                &[b'x'; 16],
                Progress::More,
                &[b'x'; 16],
                true,
            ),
        ] {
            let found = read(framing, bytes);
            assert_eq!(
                found,
                (Ok(progress), kept.to_vec(), may_end),
                "{framing:?} {bytes:?}"
            );
        }
    }

    #[test]
    fn chunks_are_the_same_in_pieces_of_any_size() {
        for size in 1..CHUNKS.len() {
            let mut body = Body::new(Framing::Chunked, 64);
            let mut progress = Progress::More;
            for piece in CHUNKS.chunks(size) {
                assert_eq!(progress, Progress::More);
                progress = body.feed(piece).unwrap();
            }
            assert_eq!(
                (progress, &body.kept[..]),
                (Progress::Over, &b"Wiki in\r\nchunk"[..])
            );
        }
    }

    #[test]
    fn chunks_that_break_the_rules_are_malformed() {
        let long_extension = format!("1;{}\r\n", "x".repeat(SIZE_LINE_BYTES_MAX));
        let long_trailers = format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_BYTES_MAX / 4));
        for bytes in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            ";a\r\n",
            " 1\r\n",
            "1\r\nab\r\n",
            "1\r\na\r\r\n",
            "00000000000000001\r\na",
            &long_extension,
            &long_trailers,
        ] {
            assert!(
                read(Framing::Chunked, bytes.as_bytes()).0.is_err(),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn no_bytes_bring_it_down_and_no_prefix_is_taken_for_the_whole() {
        for len in 0..CHUNKS.len() {
            assert_eq!(read(Framing::Chunked, &CHUNKS[..len]).0, Ok(Progress::More));
        }
        for position in 0..CHUNKS.len() {
            for byte in 0..=255 {
                let mut flipped = CHUNKS.to_vec();
                flipped[position] = byte;
                assert!(read(Framing::Chunked, &flipped).1.len() <= 16);
            }
        }
    }
}

//! DNS messages (RFC 1035 section 4), for resolvers, multicast DNS and UPDATE alike.
//!
//! A message is read and written whole. Reading follows pointers only backwards, so that none can
//! loop, and takes no more records than a bound. Writing never compresses, which is always allowed.
//! What a record's data is not known to look like stays bytes.
#![forbid(unsafe_code)]

mod data;
mod name;

pub(crate) use data::{A, CNAME, Data, PTR, TXT, kind_name, kind_of};
pub(crate) use name::Name;

use name::Reader;

/// The class of the internet; multicast DNS uses its highest bit for something else.
pub(crate) const CLASS_IN: u16 = 1;

/// All bits of a class that name one (RFC 6762 sections 5.4 and 10.2).
const CLASS_MASK: u16 = 0x7fff;

/// Bits of [`Message::flags`].
pub(crate) const RESPONSE: u16 = 0x8000;
pub(crate) const TRUNCATED: u16 = 0x0200;
pub(crate) const RECURSION_DESIRED: u16 = 0x0100;
const OPCODE: u16 = 0x7800;
const RCODE: u16 = 0x000f;

/// RFC 1035 section 4.1.1, RFC 2136 section 2.2.
pub(crate) mod rcode {
    pub(crate) const NO_ERROR: u16 = 0;
    pub(crate) const NO_SUCH_NAME: u16 = 3;
    pub(crate) const REFUSED: u16 = 5;

    /// The name of a code that tells of trouble with the server or the question.
    pub(crate) fn name(code: u16) -> &'static str {
        match code {
            1 => "FORMERR",
            2 => "SERVFAIL",
            4 => "NOTIMP",
            _ => "another code of refusal",
        }
    }
}

/// Records and questions in one message. A record that names by pointers takes twelve bytes and
/// becomes some hundred; nobody sends this many.
const ENTRIES_MAX: usize = 1_000;

/// What a message is that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u16,
    /// The second word of the header: whether it is a response, what is asked for, how it went.
    pub(crate) flags: u16,
    /// In an UPDATE the zone.
    pub(crate) questions: Vec<Question>,
    /// In an UPDATE the prerequisites.
    pub(crate) answers: Vec<Record>,
    /// In an UPDATE what is to be changed.
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

/// The id and the flags, which can be read when the rest cannot.
pub(crate) fn id_and_flags(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = bytes.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

impl Message {
    /// A question to be answered for the class of the internet.
    pub(crate) fn query(id: u16, flags: u16, name: Name, kind: u16) -> Message {
        let class = CLASS_IN;
        Message {
            id,
            flags,
            questions: vec![Question { name, kind, class }],
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// 0 for a query, 5 for an UPDATE.
    pub(crate) fn opcode(&self) -> u16 {
        (self.flags & OPCODE) >> OPCODE.trailing_zeros()
    }

    /// How it went, one of [`rcode`].
    pub(crate) fn rcode(&self) -> u16 {
        self.flags & RCODE
    }

    /// Whether this answers that query, going by all that both say (RFC 5452 section 9.1). An
    /// error may come without the question.
    pub(crate) fn answers(&self, query: &Message) -> bool {
        let same_question = match (&self.questions[..], &query.questions[..]) {
            ([ours], [theirs]) => {
                ours.name.is(&theirs.name) && (ours.kind, ours.class) == (theirs.kind, theirs.class)
            }
            ([], _) => self.rcode() != rcode::NO_ERROR,
            _ => false,
        };
        self.id == query.id
            && self.flags & RESPONSE != 0
            && self.opcode() == query.opcode()
            && same_question
    }

    /// The message in bytes.
    ///
    /// # Errors
    /// It has more than its counts and lengths of two bytes can say.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut bytes = Vec::with_capacity(64);
        let sections = [&self.answers, &self.authorities, &self.additionals];
        let counts = [
            self.questions.len(),
            sections[0].len(),
            sections[1].len(),
            sections[2].len(),
        ];
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        for count in counts {
            bytes.extend_from_slice(&two_bytes(count)?);
        }
        for question in &self.questions {
            question.name.encode(&mut bytes);
            bytes.extend_from_slice(&question.kind.to_be_bytes());
            bytes.extend_from_slice(&question.class.to_be_bytes());
        }
        for record in sections.into_iter().flatten() {
            record.encode(&mut bytes)?;
        }
        two_bytes(bytes.len())?;
        Ok(bytes)
    }

    /// Reads a message; bytes after its end have no meaning.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        let mut reader = Reader::new(bytes);
        let [id, flags, questions, answers, authorities, additionals] = [
            reader.u16()?,
            reader.u16()?,
            reader.u16()?,
            reader.u16()?,
            reader.u16()?,
            reader.u16()?,
        ];
        let counts = [questions, answers, authorities, additionals];
        if counts
            .iter()
            .map(|count| usize::from(*count))
            .sum::<usize>()
            > ENTRIES_MAX
        {
            return Err(Malformed("more than 1000 records"));
        }
        let read_records = |count: u16, reader: &mut Reader| {
            let records = (0..count).map(|_| Record::decode(reader));
            records.collect::<Result<Vec<Record>, Malformed>>()
        };
        let questions = (0..questions).map(|_| Question::decode(&mut reader));
        Ok(Message {
            id,
            flags,
            questions: questions.collect::<Result<_, _>>()?,
            answers: read_records(answers, &mut reader)?,
            authorities: read_records(authorities, &mut reader)?,
            additionals: read_records(additionals, &mut reader)?,
        })
    }
}

impl Question {
    fn decode(reader: &mut Reader) -> Result<Question, Malformed> {
        Ok(Question {
            name: reader.name()?,
            kind: reader.u16()?,
            class: reader.u16()?,
        })
    }
}

impl Record {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
        self.name.encode(bytes);
        bytes.extend_from_slice(&self.kind.to_be_bytes());
        bytes.extend_from_slice(&self.class.to_be_bytes());
        bytes.extend_from_slice(&self.ttl.to_be_bytes());
        let len_at = bytes.len();
        bytes.extend_from_slice(&[0, 0]);
        self.data.encode(bytes)?;
        let len = two_bytes(bytes.len() - len_at - 2)?;
        bytes[len_at..len_at + 2].copy_from_slice(&len);
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Record, Malformed> {
        let (name, kind, class) = (reader.name()?, reader.u16()?, reader.u16()?);
        let (ttl, len) = (reader.u32()?, reader.u16()?);
        let mut inner = reader.part(usize::from(len))?;
        // In an UPDATE other classes say what to do with a record, and empty data is no data.
        let is_known = class & CLASS_MASK == CLASS_IN && len > 0;
        let data = if is_known {
            Data::decode(kind, &mut inner)?
        } else {
            Data::Other(inner.rest().to_vec())
        };
        Ok(Record {
            name,
            kind,
            class,
            ttl,
            data,
        })
    }
}

fn two_bytes(number: usize) -> Result<[u8; 2], Malformed> {
    let number = u16::try_from(number).map_err(|_| Malformed("longer than 65535 bytes"))?;
    Ok(number.to_be_bytes())
}

#[cfg(test)]
mod tests;

//! The store of the model: a table of the crate with records that only name what would be in them.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use tower_keystone::store::{EntryName, LeaseOwner, Version, memory_table::Table};

/// What is in an entry. Two records with the same content have different numbers, as real ones have different nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub content: Content,
    pub number: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    Token {
        serial: u8,
        issued_at: u8,
    },
    Tombstone {
        issued_at: u8,
    },
    /// Something that cannot be read, or that was sealed for another identity.
    Garbage,
    Failure {
        is_transient: bool,
    },
    Failures {
        transient: u8,
        permanent: u8,
    },
    Refusal,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Token,
    Failure,
    Failures,
    Refusal(u8),
}

/// An operation on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Get(Part),
    Publish {
        part: Part,
        seen: Option<Version>,
        record: Record,
        time_to_live: Duration,
    },
    Lease {
        owner: u8,
        term: Duration,
    },
    Extend {
        owner: u8,
        term: Duration,
    },
    Release {
        owner: u8,
    },
    /// The store loses all its data.
    Lose,
}

/// The response of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    Record(Option<Record>),
    Done(bool),
}

/// A table, by its number. Equal tables have equal numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Store(u32);

/// All tables, and what each operation does with each of them.
struct Tables {
    tables: Vec<Table>,
    numbers: HashMap<Table, u32>,
    results: HashMap<(Store, Duration, Operation), (Store, Response)>,
}

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::new(Tables {
        tables: vec![Table::default()],
        numbers: HashMap::from([(Table::default(), 0)]),
        results: HashMap::new(),
    });
}

impl Store {
    pub fn get(self, now: Duration, part: Part) -> Option<Record> {
        match self.run(now, Operation::Get(part)).1 {
            Response::Record(record) => record,
            Response::Done(_) => unreachable!(),
        }
    }

    /// Runs an operation. Returns the store after it.
    pub fn run(self, now: Duration, operation: Operation) -> (Self, Response) {
        TABLES.with_borrow_mut(|tables| {
            let key = (self, now, operation);
            if let Some(result) = tables.results.get(&key) {
                return *result;
            }
            let mut table = tables.tables[self.0 as usize].clone();
            let response = operation.run(&mut table, now);
            let number = *tables.numbers.entry(table).or_insert_with_key(|table| {
                tables.tables.push(table.clone());
                tables.tables.len() as u32 - 1
            });
            let result = (Self(number), response);
            tables.results.insert(key, result);
            result
        })
    }
}

impl Operation {
    fn run(self, table: &mut Table, now: Duration) -> Response {
        let done = match self {
            Self::Get(part) => return Response::Record(table.get(now, &part.name()).map(Record::read)),
            Self::Publish { part, seen, record, time_to_live } => {
                table.publish(now, &part.name(), seen.as_ref(), &record.bytes(), time_to_live)
            }
            Self::Lease { owner, term } => table.lease(now, &Part::Token.name(), &lease_owner(owner), term),
            Self::Extend { owner, term } => table.extend(now, &Part::Token.name(), &lease_owner(owner), term),
            Self::Release { owner } => {
                table.release(now, &Part::Token.name(), &lease_owner(owner));
                true
            }
            Self::Lose => {
                *table = Table::default();
                true
            }
        };
        Response::Done(done)
    }
}

impl Part {
    fn name(self) -> EntryName {
        let part = match self {
            Self::Token => "token",
            Self::Failure => "failure",
            Self::Failures => "failures",
            Self::Refusal(0) => "refusal-0",
            Self::Refusal(1) => "refusal-1",
            Self::Refusal(_) => "refusal-2",
        };
        EntryName::parse(&format!("{:A<43}.{part}", "")).unwrap()
    }
}

fn lease_owner(owner: u8) -> LeaseOwner {
    LeaseOwner::new(format!("{owner:0>22}"))
}

impl Record {
    /// Returns bytes with the layout of a record: a header of 24 bytes and a nonce of 24 bytes.
    fn bytes(self) -> [u8; 49] {
        let mut bytes = [0; 49];
        let (header, nonce) = bytes.split_at_mut(24);
        let (kind, issued_at) = match self.content {
            Content::Token { serial, issued_at } => {
                nonce[0] = serial;
                (1, issued_at)
            }
            Content::Tombstone { issued_at } => (2, issued_at),
            Content::Failure { is_transient } => {
                nonce[0] = u8::from(is_transient);
                (3, 0)
            }
            Content::Failures { transient, permanent } => {
                nonce[0] = transient;
                nonce[1] = permanent;
                (4, 0)
            }
            Content::Refusal => (5, 0),
            Content::Garbage => (9, 0),
        };
        header[7] = kind;
        header[15] = issued_at;
        nonce[2] = self.number;
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let (header, nonce) = bytes.split_at(24);
        let content = match header[7] {
            1 => Content::Token { serial: nonce[0], issued_at: header[15] },
            2 => Content::Tombstone { issued_at: header[15] },
            3 => Content::Failure { is_transient: nonce[0] == 1 },
            4 => Content::Failures { transient: nonce[0], permanent: nonce[1] },
            5 => Content::Refusal,
            _ => Content::Garbage,
        };
        Self { content, number: nonce[2] }
    }

    pub fn version(self) -> Version {
        Version::from_record(&self.bytes())
    }
}

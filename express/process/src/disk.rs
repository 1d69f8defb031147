//! Records on disk, in an embedded database: what a party has said, certificates that are not settled, indices that are used up.
//!
//! [`Disk::write`] returns when its changes are on disk, all of them or none. Whoever gets an error from it must not say anything that
//! depends on them: the [driver](crate::driver) stops. On a full disk, free some space and start the process again; nothing is lost.
//!
//! The database is one file, `express.redb`, with mode 0600. A second process on the same file is refused.

use crate::files::{make_folder, FileError};
use codec::{Decode, DecodeAll as _, Encode as _};
use poq_express::{step::Record, wire::Certificate};
use poq_primitives::express::{ChannelId, Epoch, OrderName};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use std::{
    fs::OpenOptions,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Name of the database in its folder.
pub const FILE: &str = "express.redb";

/// Records, by the order's name and a number that grows.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Certificates that are not seen settled, by the order's name.
const CERTIFICATES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("certificates");

/// The next free index of a channel in an epoch.
const INDICES: TableDefinition<'_, (u64, u32), u32> = TableDefinition::new("indices");

/// Single numbers.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// The newest epoch that this party has seen.
const EPOCH: &str = "epoch";

/// A change of what is on disk.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds a record of an order, behind those that it has.
    Persist {
        /// The order.
        name: OrderName,
        /// The record.
        record: Box<Record>,
    },
    /// Drops all records of an order.
    Forget {
        /// The order.
        name: OrderName,
    },
    /// Keeps a certificate, in place of the one of the same order.
    Keep(Box<Certificate>),
    /// Drops the certificate of an order.
    Drop {
        /// The order.
        name: OrderName,
    },
    /// The newest epoch that this party has seen.
    Epoch(Epoch),
}

/// A disk that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The database cannot be read or written.
    #[error("the database cannot be used: {0}; check free space and rights of its folder, then start again")]
    Database(String),
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// A stored value cannot be decoded.
    #[error(
        "the database holds {0} that cannot be decoded: it is damaged or of a newer version of this program"
    )]
    Undecodable(&'static str),
    /// Another process has the database open.
    #[error("another process has the database {} open; a folder belongs to one process", .0.display())]
    InUse(PathBuf),
    /// The channel has used all indices of the epoch.
    #[error("channel {channel} has no free index left in epoch {epoch}")]
    NoIndex {
        /// The channel.
        channel: ChannelId,
        /// The epoch.
        epoch: Epoch,
    },
}

/// Records, certificates and indices that survive a restart.
pub trait Disk: Send + Sync + 'static {
    /// Makes these changes, in their order, all or none. They are on disk when this returns.
    ///
    /// # Errors
    /// [`DiskError`], after which nothing that depends on them may be said.
    fn write(&self, changes: &[Change]) -> Result<(), DiskError>;

    /// All records that were not forgotten, those of an order in the order in which they were written.
    ///
    /// # Errors
    /// [`DiskError`].
    fn records(&self) -> Result<Vec<(OrderName, Record)>, DiskError>;

    /// The records of one order.
    ///
    /// # Errors
    /// [`DiskError`].
    fn records_of(&self, name: &OrderName) -> Result<Vec<Record>, DiskError>;

    /// All certificates kept.
    ///
    /// # Errors
    /// [`DiskError`].
    fn certificates(&self) -> Result<Vec<Certificate>, DiskError>;

    /// The newest epoch that this party has seen; 0 before the first.
    ///
    /// # Errors
    /// [`DiskError`].
    fn epoch(&self) -> Result<Epoch, DiskError>;

    /// The next index of this channel and epoch, which is never given again.
    ///
    /// # Errors
    /// [`DiskError`].
    fn take_index(&self, channel: ChannelId, epoch: Epoch) -> Result<u32, DiskError>;
}

/// The database in a folder.
pub struct Redb {
    database: Database,
    next: AtomicU64,
}

fn failed(error: impl Into<redb::Error>) -> DiskError {
    DiskError::Database(error.into().to_string())
}

/// Names in the order of their parts, so that the records of an order stand together.
fn key_of(name: &OrderName) -> Vec<u8> {
    let mut key = name.channel.to_be_bytes().to_vec();
    key.extend(name.epoch.to_be_bytes());
    key.extend(name.index.to_be_bytes());
    key
}

fn name_of(key: &[u8]) -> Option<OrderName> {
    let (channel, rest) = key.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (index, _) = rest.split_first_chunk::<4>()?;
    Some(OrderName {
        channel: u64::from_be_bytes(*channel),
        epoch: u32::from_be_bytes(*epoch),
        index: u32::from_be_bytes(*index),
    })
}

fn record_key(name: &OrderName, number: u64) -> Vec<u8> {
    let mut key = key_of(name);
    key.extend(number.to_be_bytes());
    key
}

fn number_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number))
}

fn decode<T: Decode>(bytes: &[u8], what: &'static str) -> Result<T, DiskError> {
    T::decode_all(&mut &*bytes).map_err(|_| DiskError::Undecodable(what))
}

impl Redb {
    /// Opens the database in `folder`, and makes both if they are not there.
    ///
    /// # Errors
    /// [`DiskError`]: among others, if another process has it open, other users have access to it, or the disk is full.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        make_folder(folder)?;
        let path = folder.join(FILE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(FileError::io(&path))?;
        let mode = file.metadata().map_err(FileError::io(&path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileError::Exposed { path, mode }.into());
        }
        let database = Database::builder().create_file(file).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => DiskError::InUse(path),
            other => failed(other),
        })?;
        let this = Self { database, next: AtomicU64::new(0) };
        this.make_tables()?;
        let next = this.last_number()?.saturating_add(1);
        this.next.store(next, Ordering::Relaxed);
        Ok(this)
    }

    /// A first transaction: a disk that is full now is found before anything is signed.
    fn make_tables(&self) -> Result<(), DiskError> {
        self.transact(|transaction| {
            transaction.open_table(RECORDS).map_err(failed)?;
            transaction.open_table(CERTIFICATES).map_err(failed)?;
            transaction.open_table(INDICES).map_err(failed)?;
            transaction.open_table(NUMBERS).map_err(failed)?;
            Ok(())
        })
    }

    fn last_number(&self) -> Result<u64, DiskError> {
        let table = self.database.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
        let mut last = 0;
        for entry in table.iter().map_err(failed)? {
            let (key, _) = entry.map_err(failed)?;
            last = last.max(number_of(key.value()));
        }
        Ok(last)
    }

    /// One transaction, on disk when this returns.
    fn transact<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    fn apply(&self, transaction: &WriteTransaction, change: &Change) -> Result<(), DiskError> {
        match change {
            Change::Persist { name, record } => {
                let key = record_key(name, self.next.fetch_add(1, Ordering::Relaxed));
                let mut table = transaction.open_table(RECORDS).map_err(failed)?;
                table.insert(&*key, &*record.encode()).map_err(failed)?;
            }
            Change::Forget { name } => {
                let (first, last) = (record_key(name, 0), record_key(name, u64::MAX));
                let mut table = transaction.open_table(RECORDS).map_err(failed)?;
                table.retain_in(&*first..=&*last, |_, _| false).map_err(failed)?;
            }
            Change::Keep(certificate) => {
                let mut table = transaction.open_table(CERTIFICATES).map_err(failed)?;
                let key = key_of(&certificate.order.name);
                table.insert(&*key, &*certificate.encode()).map_err(failed)?;
            }
            Change::Drop { name } => {
                let mut table = transaction.open_table(CERTIFICATES).map_err(failed)?;
                table.remove(&*key_of(name)).map_err(failed)?;
            }
            Change::Epoch(epoch) => {
                let mut table = transaction.open_table(NUMBERS).map_err(failed)?;
                table.insert(EPOCH, u64::from(*epoch)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Disk for Redb {
    fn write(&self, changes: &[Change]) -> Result<(), DiskError> {
        self.transact(|transaction| changes.iter().try_for_each(|change| self.apply(transaction, change)))
    }

    fn records(&self) -> Result<Vec<(OrderName, Record)>, DiskError> {
        let table = self.database.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let name = name_of(key.value()).ok_or(DiskError::Undecodable("a name"))?;
            records.push((name, decode(value.value(), "a record")?));
        }
        Ok(records)
    }

    fn records_of(&self, name: &OrderName) -> Result<Vec<Record>, DiskError> {
        let table = self.database.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
        let (first, last) = (record_key(name, 0), record_key(name, u64::MAX));
        let mut records = Vec::new();
        for entry in table.range::<&[u8]>(&*first..=&*last).map_err(failed)? {
            let (_, value) = entry.map_err(failed)?;
            records.push(decode(value.value(), "a record")?);
        }
        Ok(records)
    }

    fn certificates(&self) -> Result<Vec<Certificate>, DiskError> {
        let table = self.database.begin_read().map_err(failed)?.open_table(CERTIFICATES).map_err(failed)?;
        let mut certificates = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (_, value) = entry.map_err(failed)?;
            certificates.push(decode(value.value(), "a certificate")?);
        }
        Ok(certificates)
    }

    fn epoch(&self) -> Result<Epoch, DiskError> {
        let table = self.database.begin_read().map_err(failed)?.open_table(NUMBERS).map_err(failed)?;
        let epoch = table.get(EPOCH).map_err(failed)?.map_or(0, |value| value.value());
        Epoch::try_from(epoch).map_err(|_| DiskError::Undecodable("an epoch"))
    }

    fn take_index(&self, channel: ChannelId, epoch: Epoch) -> Result<u32, DiskError> {
        self.transact(|transaction| {
            let mut table = transaction.open_table(INDICES).map_err(failed)?;
            let index = table.get((channel, epoch)).map_err(failed)?.map_or(0, |value| value.value());
            let next = index.checked_add(1).ok_or(DiskError::NoIndex { channel, epoch })?;
            table.insert((channel, epoch), next).map_err(failed)?;
            Ok(index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(index: u32) -> OrderName {
        OrderName { channel: 1, epoch: 2, index }
    }

    fn persist(index: u32, byte: u8) -> Change {
        Change::Persist { name: name(index), record: Box::new(Record::Busy([byte; 64])) }
    }

    #[test]
    fn what_is_written_is_there_after_a_restart_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Redb::open(folder.path()).unwrap();
        disk.write(&[persist(1, 1), persist(0, 2), Change::Epoch(9)]).unwrap();
        drop(disk);
        let disk = Redb::open(folder.path()).unwrap();
        disk.write(&[persist(1, 0)]).unwrap();
        drop(disk);
        let disk = Redb::open(folder.path()).unwrap();
        assert_eq!(disk.epoch().unwrap(), 9);
        let of_one = vec![Record::Busy([1; 64]), Record::Busy([0; 64])];
        assert_eq!(disk.records_of(&name(1)).unwrap(), of_one);
        disk.write(&[Change::Forget { name: name(1) }]).unwrap();
        assert_eq!(disk.records().unwrap(), vec![(name(0), Record::Busy([2; 64]))]);
    }

    #[test]
    fn no_index_is_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Redb::open(folder.path()).unwrap();
        assert_eq!((disk.take_index(1, 1).unwrap(), disk.take_index(1, 1).unwrap()), (0, 1));
        drop(disk);
        let disk = Redb::open(folder.path()).unwrap();
        assert_eq!((disk.take_index(1, 1).unwrap(), disk.take_index(1, 2).unwrap()), (2, 0));
    }

    #[test]
    fn a_folder_belongs_to_one_process_and_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Redb::open(folder.path()).unwrap();
        assert!(matches!(Redb::open(folder.path()), Err(DiskError::InUse(_))));
        drop(disk);
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Redb::open(folder.path()), Err(DiskError::File(FileError::Exposed { .. }))));
    }
}

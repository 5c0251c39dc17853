//! What is counted across workers, and with Redis across nodes: bounded tables and the connection.

mod bucket;
mod memory;
mod redis;
#[cfg(test)]
pub(crate) mod test_redis;

pub(crate) use bucket::{Bucket, Digest, FullAt, Taken, nanos};
pub(crate) use memory::{Change, Expiring, Key, Keyring, Table};
pub(crate) use redis::Away;
pub use redis::{Health, InvalidRedis, Redis, RedisSettings};

//! What is counted across workers, and with Redis across nodes: bounded tables and the connection.

mod memory;
mod redis;

pub(crate) use memory::{Change, Expiring, Key, Keyring, Table};
pub(crate) use redis::Away;
pub use redis::{Health, InvalidRedis, Redis, RedisSettings};

//! The service through its own doors: the Segment wire over HTTP, and gRPC; on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
mod cached;
mod catalog;
mod corpora;
mod erasure;
mod export;
mod faults;
mod grpc;
mod house;
mod identity;
mod lag;
mod quality;
mod unmerge;
mod wire;

/// Runs a test on every database there is.
macro_rules! on_every_database {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for database in crate::house::databases() {
                let house = crate::house::House::open(&database).await;
                cases::$name(&house).await;
                house.close().await;
            }
        })+
    };
}
pub(crate) use on_every_database;

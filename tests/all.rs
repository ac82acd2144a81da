//! The other files as one program, in which the kernels are compiled once instead of eight times:
//! `cargo test --test all`. Some of them alone: `cargo test --test all -- --test-threads=1 oracle::
//! norm::`. One at a time, since each file's tests take turns with the instruction set of all.

#[path = "articles.rs"]
mod articles;
#[path = "conformance.rs"]
mod conformance;
#[path = "equivalence.rs"]
mod equivalence;
#[path = "errors.rs"]
mod errors;
#[path = "fused.rs"]
mod fused;
#[path = "golden.rs"]
mod golden;
#[path = "norm.rs"]
mod norm;
#[path = "oracle.rs"]
mod oracle;
#[path = "pages.rs"]
mod pages;
#[path = "special.rs"]
mod special;

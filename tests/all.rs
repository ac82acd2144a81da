//! The other files as one program, in which the kernels are compiled once instead of eight times:
//! `cargo test --test all -- --test-threads=1`, and some of them with `oracle:: norm::` behind it.
//!
//! One at a time: the tests of a file take turns with the instruction set, which is the process's, but
//! those of two files do not.

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

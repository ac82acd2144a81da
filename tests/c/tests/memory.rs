//! What a step reads and writes, from C. A file of its own, as it changes the instruction set of the
//! whole process.

c_tests::c_tests! {
    memory_constants
    memory_pages
}

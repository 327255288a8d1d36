//! The job: what the file says (`spec`), every fault of it (`problems`), and what it means (`plan`).
//!
//! ```text
//! file --document--> spanned tree --spec--> tables as written --resolve--> Plan
//!                        \______________ problems: every fault, with line and column
//! ```
//!
//! Nothing here reads data or starts anything.

pub mod change;
pub mod document;
pub mod path;
pub mod plan;
pub mod problems;
pub mod resolve;
pub mod secrets;
pub mod spec;
pub mod tables;

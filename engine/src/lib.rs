//! Gondwana's production half: from the bytes of a Go binary and the names of functions to hooks in a live process.
//!
//! Everything up to [`plan::Plan`] is a pure function over bytes; only [`os`], [`inject`] and [`ring`] touch a
//! process. Data flows downwards in this list; nothing imports from below itself.
//!
//! | room | one job |
//! |---|---|
//! | [`addr`] | addresses as types, checked arithmetic |
//! | [`golang`] | what differs between Go versions, as data with sources |
//! | [`types`] | a program's type descriptors -> its structures |
//! | [`image`] | bytes of an ELF file -> [`image::Image`] |
//! | [`input`] | a file -> the parts of it that [`image`] can make use of |
//! | [`meta`] | [`image::Image`] -> what is known of the build, recorded or derived |
//! | [`spec`] | hook patterns, from text |
//! | [`site`] | function -> [`site::Site`] or [`site::Refusal`] |
//! | [`relocate`] | displaced instructions -> position-independent form |
//! | [`emit`] | trampoline bytes |
//! | [`module`] | the synthetic Go module |
//! | [`plan`] | everything that will be written, as inert data |
//! | [`verify`] | `Plan` -> [`verify::VerifiedPlan`], sharing no logic with the generator |
//! | [`ring`] | the shared-memory rings |
//! | [`event`] | what a hooked program told, as data |
//! | [`export`] | events -> the forms that others read |
//! | [`os`] | typed system calls |
//! | [`inspect`] | a file or a process -> what it is, for people and as JSON |
//! | [`inject`] | stop, check, write, resume, undo |
//! | [`collect`] | shared memory -> events, until the process ends |
//! | [`agent`] | all of these, beside a program |

pub mod addr;
pub mod agent;
mod codes;
pub mod collect;
pub mod emit;
pub mod event;
pub mod export;
pub mod golang;
pub mod image;
pub mod inject;
pub mod input;
pub mod inspect;
pub mod listing;
pub mod meta;
pub mod module;
pub mod os;
pub mod plan;
pub mod relocate;
pub mod ring;
pub mod site;
pub mod spec;
pub mod types;
pub mod verify;

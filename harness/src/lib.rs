//! Gondwana's proving half.

//! What a test changes of everything prepared before it is written: plans that are broken on purpose. In what is built for
//! use (without the feature `test-support`) a [`Change`] holds nothing, and what is written is what was verified.

use super::failure::Result;
use super::prepare::Prepared;

/// A change that a test asks for.
#[derive(Clone, Default)]
pub struct Change {
    #[cfg(feature = "test-support")]
    by: Option<By>,
}

#[cfg(feature = "test-support")]
type By = std::sync::Arc<dyn Fn(&mut Prepared) -> Result<()> + Send + Sync>;

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

impl Change {
    /// This one.
    #[cfg(feature = "test-support")]
    #[must_use]
    pub fn by(change: impl Fn(&mut Prepared) -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            by: Some(std::sync::Arc::new(change)),
        }
    }

    /// Makes it.
    #[cfg(feature = "test-support")]
    pub(super) fn make(&self, prepared: &mut Prepared) -> Result<()> {
        self.by.as_ref().map_or(Ok(()), |change| change(prepared))
    }

    /// There is none.
    #[cfg(not(feature = "test-support"))]
    pub(super) fn make(&self, _: &mut Prepared) -> Result<()> {
        Ok(())
    }
}

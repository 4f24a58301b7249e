//! Stable codes for machines, each with one line for people: written down once, as rows of one table.

/// Makes an enum of rows `Name = "code": "explanation",` with `ALL`, `as_str`, `explain` and `Display`. Codes are never
/// renamed, only added.
macro_rules! codes {
    ($(#[$meta:meta])* $vis:vis enum $codes:ident { $($name:ident = $text:literal: $explain:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        $vis enum $codes {
            $(#[doc = $explain] #[serde(rename = $text)] $name,)*
        }

        impl $codes {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One line for people.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$name => $explain,)* }
            }
        }

        impl std::fmt::Display for $codes {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use codes;

//! How a mapping of the manifest is declared.

/// Declares a mapping of the manifest: every key may be missing (what must be there is said in `keys`), and what is blank
/// is not written.
macro_rules! raw {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
        pub(crate) struct $name {
            $(
                $(#[$field_meta])*
                #[serde(default, skip_serializing_if = "crate::manifest::raw::Blank::is_blank")]
                pub(crate) $field: $type,
            )*
        }
    };
}

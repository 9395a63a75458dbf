//! What is written: the attributes of the Compose Specification as they stand in a file, in short or long form. They are
//! read from nodes, written as the canonical model, and give the manifest's JSON Schema. What is meant is
//! [`crate::project`].

#[macro_use]
mod macros;
pub(crate) mod based;
pub(crate) mod build;
pub(crate) mod deploy;
pub(crate) mod develop;
pub(crate) mod fields;
pub(crate) mod forms;
pub(crate) mod health;
pub(crate) mod hosts;
pub(crate) mod limits;
pub(crate) mod manifest;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod own;
pub(crate) mod placed;
pub(crate) mod port;
pub(crate) mod scalars;
pub(crate) mod service;
pub(crate) mod storage;

use std::collections::BTreeMap;

use forms::{Form, KeyValues, Labels, Named, OneOrMany, Options};
use scalars::{
    Command, Count, DistinctScalars, Flag, HostPath, NamedTexts, PlainFlag, PullPolicy, Scalars, Size, Span, Texts,
};

/// Whether a value is left out of the canonical model.
pub(crate) trait Blank {
    fn is_blank(&self) -> bool;
}

macro_rules! blank {
    ($($name:ty: $blank:expr;)*) => {
        $(impl Blank for $name {
            fn is_blank(&self) -> bool {
                let blank: fn(&Self) -> bool = $blank;
                blank(self)
            }
        })*
    };
}

blank! {
    String: |text| text.is_empty();
    Flag: |flag| !flag.0;
    PlainFlag: |flag| !flag.0;
    Size: |size| size.0 == 0;
    Count: |count| count.0 == 0;
    Span: |_| false;
    Command: |_| false;
    PullPolicy: |policy| policy.0.is_empty();
    HostPath: |path| path.0.is_empty();
    Texts: |texts| texts.0.is_empty();
    Scalars: |texts| texts.0.is_empty();
    DistinctScalars: |texts| texts.0.is_empty();
    NamedTexts: |texts| texts.0.is_empty();
    KeyValues: |values| values.0.is_empty();
    Labels: |values| values.0.is_empty();
    Options: |values| values.0.is_empty();
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Blank for BTreeMap<K, V> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Blank for OneOrMany<T> {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Blank for Named<T> {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Blank> Blank for Form<T> {
    fn is_blank(&self) -> bool {
        self.0.is_blank()
    }
}

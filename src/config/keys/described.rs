//! What the schema says of keys and values that read more than one kind of text, and how defaults
//! are shown in it. Only the test that writes docs/configuration.* needs it.

use super::authentication::{AuthenticationSetting, CredentialKeys};
use super::format::SchemaKey;
use super::platform::{BodyTemplatesKey, PlatformKey};
use super::template::TemplateKey;
use super::values::{Count, FileMode, Share, Size, Span, SpanOrNone, Statuses};
use super::{AdminKeys, AdminSetting};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// A schema that is written where it is used.
macro_rules! schema {
    ($type:ty, $name:literal, $generator:pat => $schema:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

schema!(AdminSetting, "AdminSetting", generator => {
    let keys = generator.subschema_for::<AdminKeys>();
    json_schema!({ "anyOf": [keys, { "type": "boolean" }] })
});
schema!(AuthenticationSetting, "AuthenticationSetting", generator => {
    let keys = generator.subschema_for::<CredentialKeys>();
    json_schema!({
        "anyOf": [keys, { "type": "array", "items": keys }],
        "x-type": "map or list of maps",
    })
});
schema!(BodyTemplatesKey, "BodyTemplates", generator => {
    let template = generator.subschema_for::<TemplateKey>();
    json_schema!({
        "type": "object",
        "additionalProperties": template,
        "x-type": "map of templates",
    })
});
schema!(TemplateKey, "Template", _ => json_schema!({ "type": "string", "x-type": "template" }));
schema!(SchemaKey, "Schema", _ => {
    json_schema!({ "type": "string", "enum": crate::schema::NAMES })
});
schema!(PlatformKey, "Platform", _ => {
    json_schema!({ "type": "string", "enum": crate::presets::names() })
});
schema!(Span, "Duration", _ => {
    json_schema!({ "type": ["string", "number"], "x-type": "duration" })
});
schema!(SpanOrNone, "DurationOrNone", _ => {
    json_schema!({ "type": ["string", "number"], "x-type": "duration or `none`" })
});
schema!(Size, "Size", _ => json_schema!({ "type": ["string", "integer"], "x-type": "size" }));
schema!(Count, "Count", _ => {
    json_schema!({ "type": ["integer", "string"], "x-type": "number from 1" })
});
schema!(Share, "Share", _ => {
    json_schema!({ "type": ["number", "string"], "x-type": "share from 0 to 1" })
});
schema!(FileMode, "FileMode", _ => {
    json_schema!({ "type": ["string", "integer"], "x-type": "file mode" })
});
schema!(Statuses, "Statuses", _ => {
    json_schema!({ "type": ["string", "integer"], "x-type": "status" })
});

/// Shows a default as users would write it.
macro_rules! text {
    ($($type:ty),*) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}

text!(Span, SpanOrNone, Size, FileMode);

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<u16>() {
            Ok(status) => serializer.serialize_u16(status),
            Err(_) => serializer.collect_str(self),
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

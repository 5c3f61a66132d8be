//! Compressing request bodies. A compressor is some hundred kilobytes and is used again: there
//! are as many as have been at work at once, which is never more than the runtime has threads.

use crate::config::Compression;
use bytes::Bytes;
use flate2::{Compress, Crc, FlushCompress, Status};
use hyper::header::HeaderValue;
use std::sync::{Mutex, PoisonError};

/// The fastest level of gzip: of 500 events it leaves 6 %, level 6 leaves 4 % and takes 15 times as
/// long, which the other deliveries of its thread would wait for.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::fast();

/// The usual level of zstd.
const ZSTD_LEVEL: i32 = 3;

/// RFC 1952: deflate, no name, no time, an unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses as the configuration says.
#[derive(Debug)]
pub(super) struct Compressor {
    kind: Compression,
    idle: Mutex<Vec<Context>>,
}

/// What one compression at a time needs.
enum Context {
    Gzip(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Compressor {
    pub(super) fn new(kind: Compression) -> Self {
        Compressor { kind, idle: Mutex::default() }
    }

    /// The value of `Content-Encoding`, where there is one.
    pub(super) fn encoding(&self) -> Option<HeaderValue> {
        match self.kind {
            Compression::None => None,
            Compression::Gzip => Some(HeaderValue::from_static("gzip")),
            Compression::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// The body as it goes over the wire.
    ///
    /// # Errors
    /// When the memory for a compressor is not there.
    pub(super) fn compress(&self, body: Bytes) -> Result<Bytes, String> {
        if self.kind == Compression::None {
            return Ok(body);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut context = match (idle, self.kind) {
            (Some(context), _) => context,
            (None, Compression::Zstd) => {
                Context::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?)
            }
            (None, _) => Context::Gzip(Compress::new(GZIP_LEVEL, false)),
        };
        let compressed = match &mut context {
            Context::Gzip(deflate) => gzip(deflate, &body)?,
            Context::Zstd(zstd) => zstd.compress(&body).map_err(failed)?,
        };
        // Only one that did its work is used again.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(context);
        Ok(Bytes::from(compressed))
    }
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("body: it cannot be compressed: {error}")
}

/// A member of RFC 1952. Written here because flate2's encoders cannot be used twice.
fn gzip(deflate: &mut Compress, body: &[u8]) -> Result<Vec<u8>, String> {
    deflate.reset();
    let mut out = Vec::with_capacity(GZIP_HEAD.len() + body.len() / 3 + 64);
    out.extend_from_slice(&GZIP_HEAD);
    loop {
        let done = usize::try_from(deflate.total_in()).unwrap_or(body.len());
        let rest = body.get(done..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut out, FlushCompress::Finish).map_err(failed)?;
        if status == Status::StreamEnd {
            break;
        }
        out.reserve(out.capacity());
    }
    let mut crc = Crc::new();
    crc.update(body);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn unpacked(kind: Compression, packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match kind {
            Compression::None => out.extend_from_slice(packed),
            Compression::Gzip => {
                flate2::read::GzDecoder::new(packed).read_to_end(&mut out).map(drop).unwrap();
            }
            Compression::Zstd => out = zstd::bulk::decompress(packed, 1 << 24).unwrap(),
        }
        out
    }

    const KINDS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    #[test]
    fn text_shrinks() {
        let line = r#"{"audit_id":"ae_42","event_kind":"policy_block","severity":"error"}"#;
        for (kind, most) in KINDS.into_iter().zip([1.0, 0.05, 0.05]) {
            let body = Bytes::from(format!("{line}\n").repeat(500));
            let packed = Compressor::new(kind).compress(body.clone()).unwrap();
            assert!(packed.len() as f64 <= most * body.len() as f64, "{kind:?}: {}", packed.len());
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_unpacks_again(
            bodies in prop::collection::vec(
                prop::collection::vec(any::<u8>(), 0..3000).prop_flat_map(|seed| {
                    (1..40_usize).prop_map(move |times| seed.repeat(times))
                }),
                1..4,
            ),
        ) {
            for kind in KINDS {
                // The same one for all: nothing of one body may be left for the next.
                let compressor = Compressor::new(kind);
                for body in &bodies {
                    let packed = compressor.compress(Bytes::from(body.clone())).unwrap();
                    prop_assert_eq!(&unpacked(kind, &packed), body, "{:?}", kind);
                }
            }
        }
    }
}

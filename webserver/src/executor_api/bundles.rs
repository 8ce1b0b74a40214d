//! `GET /bundles/{hash}`: the code that tasks run from.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use updraft_store::nodes;

use super::{ExecutorApi, auth::Node, error::ApiError, wire::Param};

/// Bytes read from the database at once.
const SLICE: u32 = 1 << 20;

/// The bundle's tar.gz, in slices, so that a large one is never in memory as a whole.
pub(super) async fn get(
    State(api): State<ExecutorApi>,
    Node(_): Node,
    Param(hash): Param<String>,
) -> Result<Response, ApiError> {
    let size = nodes::bundle_size(&api.inner.store, &hash)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("there is no bundle {hash} (any more)")))?;
    let slices = stream::try_unfold(0_u64, move |offset| {
        let (api, hash) = (api.clone(), hash.clone());
        async move {
            if offset >= size {
                return Ok::<_, updraft_store::StoreError>(None);
            }
            let slice = nodes::bundle_slice(&api.inner.store, &hash, offset, SLICE).await?;
            let next = offset + slice.len() as u64;
            Ok(Some((slice, next)))
        }
    });
    let headers = [(header::CONTENT_TYPE, "application/gzip".to_owned()), (header::CONTENT_LENGTH, size.to_string())];
    Ok((headers, Body::from_stream(slices)).into_response())
}

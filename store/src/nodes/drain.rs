//! What people may tell a node.

use sqlx::PgConnection;

use crate::StoreError;

/// Stops (`true`) or resumes new work on a node; what it has goes on. The wish is kept while the node is away. The node's id, or
/// `None` when there is no such node. Ring `Signal::Executor` of it and `Signal::Dispatch` after the commit.
pub async fn set_drained(connection: &mut PgConnection, name: &str, drained: bool) -> Result<Option<i64>, StoreError> {
    let id = sqlx::query_scalar!(
        "update executor
         set is_drained = $2,
             state = case when state not in ('active', 'draining') then state when $2 then 'draining' else 'active' end
         where name = $1 returning id",
        name,
        drained
    )
    .fetch_optional(connection)
    .await?;
    Ok(id)
}

//! Users against a real Postgres, several processes at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

use futures::future::join_all;
use updraft_core::identity::Role;
use updraft_store::{
    Store,
    identity::{
        logins,
        users::{self, Changed},
    },
    testing::TestDb,
};
use uuid::Uuid;

async fn add(store: &Store, name: &str, role: Role) -> bool {
    let mut connection = store.pool().acquire().await.unwrap();
    users::create(&mut connection, &name.parse().unwrap(), "a hash", role).await.unwrap()
}

#[tokio::test]
async fn of_many_first_starts_one_makes_the_first_user() {
    let db = TestDb::new().await;
    let store = db.store().await;
    let start = async |name: String| {
        let mut transaction = store.begin().await.unwrap();
        let is_first = users::lock_if_none(&mut transaction).await.unwrap();
        if is_first {
            users::create(&mut transaction, &name.parse().unwrap(), "a hash", Role::Admin).await.unwrap();
        }
        transaction.commit().await.unwrap();
        is_first
    };
    let made = join_all((0..4).map(|n| start(format!("admin {n}")))).await;
    assert_eq!(made.into_iter().filter(|made| *made).count(), 1);
    assert_eq!(users::all(&mut store.pool().acquire().await.unwrap()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_admins_cannot_remove_each_other_at_once() {
    let db = TestDb::new().await;
    let store = db.store().await;
    assert!(add(&store, "ada", Role::Admin).await && add(&store, "bob", Role::Admin).await);
    let remove = async |name: &str| {
        let mut transaction = store.begin().await.unwrap();
        let changed = users::delete(&mut transaction, name).await.unwrap();
        transaction.commit().await.unwrap();
        changed
    };
    let (first, second) = tokio::join!(remove("ada"), remove("bob"));
    let mut both = [first, second];
    both.sort_by_key(|changed| *changed == Changed::LastAdmin);
    assert_eq!(both, [Changed::Done, Changed::LastAdmin]);
}

#[tokio::test]
async fn a_login_counts_until_it_is_revoked_or_the_password_changes() {
    let db = TestDb::new().await;
    let store = db.store().await;
    assert!(add(&store, "ada", Role::User).await);
    assert!(!add(&store, "ada", Role::Admin).await, "there is one already");
    let mut connection = store.pool().acquire().await.unwrap();
    let epoch = users::credentials(&mut connection, "ada").await.unwrap().unwrap().epoch;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let standing = async |jti| logins::standing(&store, "ada", epoch, jti).await.unwrap();
    assert_eq!(standing(first).await, Some(Role::User));
    let expires_at = "2999-01-01T00:00:00Z".parse().unwrap();
    assert!(logins::revoke(&mut connection, first, expires_at).await.unwrap());
    assert!(!logins::revoke(&mut connection, first, expires_at).await.unwrap(), "twice is once");
    assert_eq!((standing(first).await, standing(second).await), (None, Some(Role::User)));
    users::change(&mut connection, "ada", Some(Role::Op), None).await.unwrap();
    assert_eq!(standing(second).await, Some(Role::Op));
    users::change(&mut connection, "ada", None, Some("another hash")).await.unwrap();
    assert_eq!(standing(second).await, None);
}

#[tokio::test]
async fn revoked_logins_are_forgotten_when_they_would_have_expired() {
    let db = TestDb::new().await;
    let store = db.store().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let past = "2000-01-01T00:00:00Z".parse().unwrap();
    for jti in 1..=3 {
        logins::revoke(&mut connection, Uuid::from_u128(jti), past).await.unwrap();
    }
    let left: i64 = sqlx::query_scalar("select count(*) from revoked_token").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(left, 1, "only the latest, which the next one takes along");
}

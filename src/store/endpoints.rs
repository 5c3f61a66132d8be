//! Endpoints that an export remembers as paused or down, and the own events that tell of them,
//! written together.

use super::outbox::json;
use super::transaction::Tx;
use super::{Store, StoreError, page, times};
use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use serde::Serialize;
use std::sync::Arc;

/// How an endpoint that is not well stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// It said that it is gone, and is only probed from time to time; or somebody paused the
    /// export, and nothing is sent.
    Paused,
    /// It does not answer; it is probed from time to time.
    Down,
}

impl EndpointState {
    const ALL: [EndpointState; 2] = [EndpointState::Paused, EndpointState::Down];
}

impl ToSql for EndpointState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for EndpointState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        EndpointState::ALL
            .into_iter()
            .find(|state| *state as i64 == number)
            .ok_or(FromSqlError::OutOfRange(number))
    }
}

/// What is remembered of an endpoint, some of it only for who looks into the file. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// How it stands.
    pub state: EndpointState,
    /// Why.
    pub reason: String,
    /// Status of its last answer.
    pub last_status: Option<u16>,
    /// Since when it stands so, to the millisecond.
    pub since: Timestamp,
    /// Probes that failed since.
    pub probes: u32,
    /// A hash of the settings with which it was tried.
    pub fingerprint: String,
}

/// What of a row says how an export goes on with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// How it stands.
    pub state: EndpointState,
    /// Probes that failed since.
    pub probes: u32,
    /// A hash of the settings with which it was tried.
    pub fingerprint: String,
}

/// What an own event tells of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointEventKind {
    /// `webhook.paused`
    Paused,
    /// `webhook.resumed`
    Resumed,
    /// `webhook.down`
    Down,
    /// `webhook.up`
    Up,
}

impl EndpointEventKind {
    /// The kind of the event.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointEventKind::Paused => "webhook.paused",
            EndpointEventKind::Resumed => "webhook.resumed",
            EndpointEventKind::Down => "webhook.down",
            EndpointEventKind::Up => "webhook.up",
        }
    }

    /// What the event's id begins with.
    fn prefix(self) -> &'static str {
        self.as_str().trim_start_matches("webhook.")
    }

    fn severity(self) -> &'static str {
        match self {
            EndpointEventKind::Paused | EndpointEventKind::Down => "error",
            EndpointEventKind::Resumed | EndpointEventKind::Up => "notice",
        }
    }
}

/// An own event that tells of an endpoint. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointEvent {
    /// What it tells.
    pub kind: EndpointEventKind,
    /// Why.
    pub reason: String,
    /// Status of the endpoint's last answer.
    pub last_status: Option<u16>,
}

/// A change of what is remembered of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointChange {
    /// The export.
    pub export: Arc<str>,
    /// The endpoint's name within the export.
    pub endpoint: String,
    /// What is remembered from now on; `None`: nothing.
    pub row: Option<EndpointRow>,
    /// The event that tells of it; the export itself never gets it.
    pub event: Option<EndpointEvent>,
}

/// The event, fields in its order.
#[derive(Serialize)]
struct Told<'a> {
    audit_id: String,
    timestamp: String,
    event_kind: &'static str,
    severity: &'static str,
    agent_id: &'static str,
    export: &'a str,
    reason: &'a str,
    last_status: Option<u16>,
}

impl Store {
    /// Writes down how an endpoint stands and the event that tells of it, in one transaction; on
    /// disk when this returns.
    ///
    /// # Errors
    /// When the commit fails; nothing is written then.
    pub async fn endpoint_changed(&self, change: EndpointChange) -> Result<(), StoreError> {
        self.write((2, 1024), move |tx| tx.endpoint_changed(&change)).await
    }

    /// What is remembered of an export's endpoints, by their names. A row that can't be
    /// understood is left out: its endpoint counts as well.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn endpoints(
        &self,
        export: &str,
    ) -> Result<Vec<(String, StoredEndpoint)>, StoreError> {
        let export = export.to_owned();
        self.between("read", move |conn| load(conn, &export)).await
    }
}

impl Store {
    /// The exports of which an endpoint is remembered, in order of their names.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn exports_with_endpoints(&self) -> Result<Vec<Arc<str>>, StoreError> {
        let names = |conn: &Connection| {
            let mut statement =
                conn.prepare("SELECT DISTINCT export FROM endpoints ORDER BY export")?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        };
        self.between("read", names).await
    }
}

impl Tx<'_> {
    fn endpoint_changed(&mut self, change: &EndpointChange) -> Result<(), StoreError> {
        let EndpointChange { export, endpoint, row, event } = change;
        match row {
            Some(row) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO endpoints
                        (export, endpoint, state, reason, last_status, since, probes, fingerprint)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    export,
                    endpoint,
                    row.state,
                    row.reason,
                    row.last_status,
                    row.since.as_millisecond(),
                    row.probes,
                    row.fingerprint
                ])?,
            None => self
                .conn
                .prepare_cached("DELETE FROM endpoints WHERE export = ?1 AND endpoint = ?2")?
                .execute(params![export, endpoint])?,
        };
        let Some(event) = event else { return Ok(()) };
        let id = self.state.ids.outbox.next();
        let told = Told {
            audit_id: format!("{}_{id}", event.kind.prefix()),
            timestamp: times::text(self.now),
            event_kind: event.kind.as_str(),
            severity: event.kind.severity(),
            agent_id: "",
            export,
            reason: &event.reason,
            last_status: event.last_status,
        };
        self.put_in_outbox(id, Some(export), &json(&told)?)
    }
}

fn load(conn: &Connection, export: &str) -> Result<Vec<(String, StoredEndpoint)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT endpoint, state, probes, fingerprint FROM endpoints
         WHERE export = ?1 ORDER BY endpoint",
    )?;
    let rows = statement.query_map([export], |row| {
        let (state, probes, fingerprint) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, StoredEndpoint { state, probes, fingerprint }))
    })?;
    rows.filter_map(|row| page::known(row).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::*;

    fn row(state: EndpointState) -> EndpointRow {
        EndpointRow {
            state,
            reason: "HTTP 410".to_owned(),
            last_status: Some(410),
            since: testing::time(START_MS),
            probes: 3,
            fingerprint: "ab12".to_owned(),
        }
    }

    fn change(endpoint: &str, row: Option<EndpointRow>) -> EndpointChange {
        EndpointChange { export: "alerts".into(), endpoint: endpoint.to_owned(), row, event: None }
    }

    #[tokio::test]
    async fn endpoints_are_remembered_over_a_crash_until_they_are_well() {
        let bench = Bench::new();
        let store = bench.open();
        let (paused, down) = (row(EndpointState::Paused), row(EndpointState::Down));
        store.endpoint_changed(change("b", Some(paused.clone()))).await.unwrap();
        store.endpoint_changed(change("a", Some(paused))).await.unwrap();
        store.endpoint_changed(change("a", Some(down.clone()))).await.unwrap();
        let after = bench.crashed();
        let store = after.open();
        let found = store.endpoints("alerts").await.unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b"]);
        let stored = StoredEndpoint {
            state: EndpointState::Down,
            probes: down.probes,
            fingerprint: down.fingerprint,
        };
        assert_eq!(found[0].1, stored);
        assert_eq!(store.endpoints("other").await.unwrap(), []);
        assert_eq!(store.exports_with_endpoints().await.unwrap(), ["alerts".into()]);
        store.endpoint_changed(change("a", None)).await.unwrap();
        after.sql().execute_batch("UPDATE endpoints SET state = 9").unwrap();
        assert_eq!(store.endpoints("alerts").await.unwrap(), []);
        assert_eq!(store.outbox_after(0, 9).await.unwrap().items, []);
    }

    #[tokio::test]
    async fn what_is_told_of_an_endpoint_has_the_form_of_the_contract() {
        let bench = Bench::new();
        let store = bench.open();
        for kind in [
            EndpointEventKind::Paused,
            EndpointEventKind::Resumed,
            EndpointEventKind::Down,
            EndpointEventKind::Up,
        ] {
            let last_status = (kind == EndpointEventKind::Paused).then_some(410);
            let event = EndpointEvent { kind, reason: "HTTP \"410\"".to_owned(), last_status };
            let change = EndpointChange { event: Some(event), ..change("a", None) };
            store.endpoint_changed(change).await.unwrap();
        }
        store.outbox_changed().await;
        let told = store.outbox_after(0, 9).await.unwrap().items;
        assert!(told.iter().all(|event| event.about.as_deref() == Some("alerts")));
        assert_eq!(
            told[0].text,
            format!(
                r#"{{"audit_id":"paused_{}","timestamp":"2025-11-20T20:20:00.000Z","event_kind":"webhook.paused","severity":"error","agent_id":"","export":"alerts","reason":"HTTP \"410\"","last_status":410}}"#,
                told[0].id
            )
        );
        for (event, (kind, severity)) in
            told[1..].iter().zip([("resumed", "notice"), ("down", "error"), ("up", "notice")])
        {
            let start = format!(r#"{{"audit_id":"{kind}_{}","#, event.id);
            assert!(event.text.starts_with(&start), "{}", event.text);
            let middle = format!(r#""event_kind":"webhook.{kind}","severity":"{severity}","#);
            assert!(event.text.contains(&middle), "{}", event.text);
            assert!(event.text.ends_with(r#""last_status":null}"#), "{}", event.text);
        }
    }
}

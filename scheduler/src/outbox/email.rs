//! Sending an email.

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use secrecy::{ExposeSecret, SecretString};
use updraft_core::notify::Email;
use updraft_store::outbox::Claimed;

use super::{
    Smtp, SmtpTls,
    send::{Connection, SendError, Sender},
};

/// Airflow's connection for emails that name none.
const DEFAULT_CONNECTION: &str = "smtp_default";

pub(super) async fn send(sender: &Sender, notice: &Claimed, email: &Email) -> Result<(), SendError> {
    let smtp = server(sender, notice, email).await?;
    let message = message(&smtp, notice, email)?;
    let transport = transport(&smtp, sender.config.timeout)?;
    transport.send(message).await.map(drop).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        let text = format!("{}: {text}", smtp.host);
        if is_final(&error) { SendError::Permanent(text) } else { SendError::temporary(text) }
    })
}

/// Whether the same email will never be taken. What the server thinks of the login is not about the email: somebody sets the
/// right password while it is tried again (RFC 4954: authentication required, too weak, failed, needs encryption).
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    error.is_permanent() && !error.status().is_some_and(|code| is_about_login(code.into()))
}

fn is_about_login(code: u16) -> bool {
    matches!(code, 530 | 534 | 535 | 538)
}

/// The connection that the notification names, else the configured server, else `smtp_default`.
async fn server(sender: &Sender, notice: &Claimed, email: &Email) -> Result<Smtp, SendError> {
    if let (None, Some(smtp)) = (&email.conn_id, &sender.config.smtp) {
        return Ok(smtp.clone());
    }
    let conn_id = email.conn_id.as_deref().unwrap_or(DEFAULT_CONNECTION);
    let connection = sender.connection(notice, conn_id).await?;
    connection.as_ref().and_then(of_connection).ok_or_else(|| {
        // Somebody may make it while the notice is tried again.
        SendError::temporary(match &email.conn_id {
            Some(conn_id) => format!("there is no connection `{conn_id}` with a host"),
            None => format!("there is no SMTP server: set smtp.host, or make the connection `{DEFAULT_CONNECTION}`"),
        })
    })
}

/// Airflow's SMTP connection: encrypted from the first byte unless `disable_ssl`, then STARTTLS unless `disable_tls`.
fn of_connection(connection: &Connection) -> Option<Smtp> {
    Some(Smtp {
        host: connection.text("host")?.to_owned(),
        port: connection.port(),
        user: connection.text("login").map(str::to_owned),
        password: connection.text("password").map(SecretString::from),
        tls: match (connection.is_set("disable_ssl"), connection.is_set("disable_tls")) {
            (false, _) => SmtpTls::Always,
            (true, false) => SmtpTls::StartTls,
            (true, true) => SmtpTls::Off,
        },
        mail_from: connection.extra("from_email").and_then(|from| from.as_str().map(str::to_owned)),
    })
}

fn message(smtp: &Smtp, notice: &Claimed, email: &Email) -> Result<lettre::Message, SendError> {
    let from = email.from.as_ref().or(smtp.mail_from.as_ref()).ok_or_else(|| {
        SendError::temporary("there is no sender: set smtp.mail_from, or `from_email` in the connection's extra")
    })?;
    let from = address("from", from)?;
    // The same for each try, so that the receiver's server can tell a repetition.
    let id = format!("<{}@{}>", notice.claim.key, from.email.domain());
    let mut builder = lettre::Message::builder().message_id(Some(id)).from(from).subject(&email.subject);
    if email.to.is_empty() {
        return Err(SendError::Permanent("`to` names nobody".to_owned()));
    }
    for to in &email.to {
        builder = builder.to(address("to", to)?);
    }
    // Vacation answers and mailing lists leave it alone.
    builder = builder.raw_header(lettre::message::header::HeaderValue::new(
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ));
    builder
        .header(ContentType::TEXT_HTML)
        .body(email.html.clone())
        .map_err(|error| SendError::Permanent(format!("the email cannot be made: {error}")))
}

fn address(field: &str, text: &str) -> Result<Mailbox, SendError> {
    text.trim()
        .parse()
        .map_err(|error| SendError::Permanent(format!("`{field}`: `{text}` is no email address: {error}")))
}

fn transport(smtp: &Smtp, timeout: std::time::Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let parameters = || {
        TlsParameters::new(smtp.host.clone())
            .map_err(|error| SendError::temporary(format!("TLS for {} cannot be prepared: {error}", smtp.host)))
    };
    let tls = match smtp.tls {
        SmtpTls::Off => Tls::None,
        SmtpTls::StartTls => Tls::Required(parameters()?),
        SmtpTls::Always => Tls::Wrapper(parameters()?),
    };
    let port = smtp.port.unwrap_or(if smtp.tls == SmtpTls::Always { 465 } else { 25 });
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host).port(port).tls(tls).timeout(Some(timeout));
    if let (Some(user), Some(password)) = (&smtp.user, &smtp.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_about_the_login_is_not_about_the_email() {
        let about_login: Vec<u16> = (500..600).filter(|code| is_about_login(*code)).collect();
        assert_eq!(about_login, [530, 534, 535, 538]);
    }

    #[test]
    fn an_smtp_connection_is_read_as_airflow_reads_it() {
        let table = [
            (json!({}), SmtpTls::Always),
            (json!({"disable_ssl": true}), SmtpTls::StartTls),
            (json!({"disable_ssl": true, "disable_tls": true}), SmtpTls::Off),
        ];
        for (extra, tls) in table {
            let connection = Connection::new(json!({"host": "mail", "login": "u", "password": "p", "extra": extra}));
            let smtp = of_connection(&connection).expect("it has a host");
            assert_eq!((smtp.tls, smtp.host.as_str(), smtp.user.as_deref()), (tls, "mail", Some("u")));
        }
        assert!(of_connection(&Connection::new(json!({"login": "u"}))).is_none());
    }
}

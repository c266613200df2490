//! A connection of a client.

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Failure;

/// A connection that is kept open and asks one thing after the other.
#[derive(Debug)]
pub(super) struct Caller {
    sender: SendRequest<Empty<Bytes>>,
}

impl Caller {
    pub(super) async fn connect(address: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // It ends with its socket; whoever asks sees that as an error of the request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Asks for a page, and returns as soon as an answer begins.
    pub(super) async fn begin(&mut self, path: &str) -> Result<Response<Incoming>, Failure> {
        self.sender.ready().await?;
        let request = Request::get(path).header("host", "localhost").header("accept-language", "en");
        Ok(self.sender.send_request(request.body(Empty::new())?).await?)
    }

    /// Asks for a page and reads all of it.
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, Failure> {
        let answer = self.begin(path).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        match status {
            StatusCode::OK => Ok(bytes),
            other => Err(format!("{path} was answered with {other}").into()),
        }
    }
}

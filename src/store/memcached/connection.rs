use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use super::{
    address::Address,
    key::Key,
    password::Password,
    protocol::{self, End, Item, Stored, UnexpectedResponse},
};

/// Why a server cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot connect to it")]
    Connect(#[source] io::Error),
    #[error("the connection to it failed")]
    Io(#[from] io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error(transparent)]
    UnexpectedResponse(#[from] UnexpectedResponse),
    #[error("it did not respond within {} s", TIMEOUT.as_secs())]
    Timeout,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection to a server. After an error, it must not be used again.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
}

/// Maximum time of an operation, with the connection for it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of room for reading at once.
const CHUNK: usize = 16 * 1024;

impl Connection {
    pub(super) async fn open(address: &Address, password: Option<&Password>) -> Result<Self, Failure> {
        let stream = connect(address).await.map_err(Failure::Connect)?;
        let mut connection = Self { stream };
        if let Some(password) = password {
            match connection.exchange(&password.command(), protocol::read_stored).await {
                Ok(Stored::Stored) => {}
                Ok(Stored::Not) => return Err(UnexpectedResponse::Malformed.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(connection)
    }

    /// Returns whether an idle connection can still be used: it has not ended, and nobody has sent anything.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    pub(super) async fn gets(&mut self, key: &Key) -> Result<Option<Item>, Failure> {
        self.exchange(&protocol::gets(key), |received| protocol::read_item(received, key)).await
    }

    pub(super) async fn add(&mut self, key: &Key, end: End, value: &[u8]) -> Result<Stored, Failure> {
        self.exchange(&protocol::add(key, end, value), protocol::read_stored).await
    }

    pub(super) async fn cas(
        &mut self,
        key: &Key,
        end: End,
        value: &[u8],
        cas: u64,
    ) -> Result<Stored, Failure> {
        self.exchange(&protocol::cas(key, end, value, cas), protocol::read_stored).await
    }

    /// Sends a command and reads until the response is complete. `read` bounds its length.
    async fn exchange<T>(
        &mut self,
        command: &[u8],
        read: impl Fn(&[u8]) -> Result<Option<T>, UnexpectedResponse>,
    ) -> Result<T, Failure> {
        self.stream.write_all(command).await?;
        self.stream.flush().await?;
        let mut received = Vec::new();
        loop {
            received.reserve(CHUNK);
            if self.stream.read_buf(&mut received).await? == 0 {
                return Err(Failure::Closed);
            }
            if let Some(response) = read(&received)? {
                return Ok(response);
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((&**host, *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(&**path).await?)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Exchanges a command and its response byte by byte.
    #[tokio::test]
    async fn commands_and_responses_may_come_in_single_bytes() {
        let (near, mut far) = duplex(1);
        let mut connection = Connection { stream: Box::new(near) };
        let key = Key::new("key").unwrap();
        let value = vec![b'\n'; 3 * CHUNK];
        let server = async {
            let mut command = [0; b"gets key\r\n".len()];
            far.read_exact(&mut command).await.unwrap();
            far.write_all(format!("VALUE key 0 {} 9\r\n", value.len()).as_bytes()).await.unwrap();
            far.write_all(&value).await.unwrap();
            far.write_all(b"\r\nEND\r\n").await.unwrap();
            let mut command = [0; b"add key 0 2 1\r\nx\r\n".len()];
            far.read_exact(&mut command).await.unwrap();
            far.write_all(b"NOT_STORED\r\n").await.unwrap();
            command
        };
        let client = async {
            let item = connection.gets(&key).await.unwrap();
            assert!(item == Some(Item { value: value.clone(), cas: 9 }));
            let stored = connection.add(&key, End::After(Duration::from_secs(1)), b"x").await.unwrap();
            assert_eq!(stored, Stored::Not);
            assert!(connection.is_quiet());
        };
        let (command, ()) = tokio::join!(server, client);
        assert_eq!(&command, b"add key 0 2 1\r\nx\r\n");
        drop(far);
        assert!(!connection.is_quiet());
        assert!(matches!(connection.gets(&key).await, Err(Failure::Io(_) | Failure::Closed)));
    }
}

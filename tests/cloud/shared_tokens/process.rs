//! A process that shares its token with others: this test program, started again.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_keystone::{
    AuthMethod, AuthRefFuture, Credentials, Error, IdentityPlugin, RenewingPlugin, Scope, SharedTokens,
    Transport, User, V3Credentials, identity::PrepareFuture,
};

use crate::{
    place,
    support::{Client, PASSWORD, Person, hasty, placement, providers},
};

/// The settings of a process, in JSON.
const VARIABLE: &str = "TOWER_KEYSTONE_SHARED_TOKENS";

/// What its lines begin with, so that those of the test harness are told apart.
const MARK: &str = "process: ";

/// How long a process waits for an answer of its store. Many processes on few cores are slow, and logins are counted.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The processes of a fleet. They are killed when this is dropped.
#[derive(Default)]
pub(super) struct Processes(Vec<Process>);

struct Process {
    child: Child,
    commands: ChildStdin,
    lines: BufReader<ChildStdout>,
}

/// The account and the scope of processes, and whether their unscoped token is shared too.
#[derive(Clone, Copy)]
pub(super) enum Account<'a> {
    Of(&'a Person),
    Rescoped(&'a Person),
    WrongPassword(&'a Person),
}

impl Processes {
    /// Starts processes, each of which makes a request at once.
    pub(super) fn start(&mut self, count: usize, auth_url: &Uri, store: &Value, account: Account<'_>) {
        let (kind, person, password) = match account {
            Account::Of(person) => ("scoped", person, PASSWORD),
            Account::Rescoped(person) => ("rescoped", person, PASSWORD),
            Account::WrongPassword(person) => ("scoped", person, "wrong"),
        };
        let settings = json!({
            "auth_url": auth_url.to_string(),
            "store": store,
            "kind": kind,
            "user_id": person.id,
            "project_id": person.project_id,
            "password": password,
        });
        let settings = settings.to_string();
        self.0.extend((0..count).map(|_| Process::start(&settings)));
    }

    /// Lets each process make a request.
    pub(super) fn request(&mut self) {
        for process in &mut self.0 {
            writeln!(process.commands).expect("it reads");
        }
    }

    /// Waits for the end of a request in each process, and returns the statuses or errors.
    pub(super) fn responses(&mut self) -> Vec<String> {
        tokio::task::block_in_place(|| self.0.iter_mut().map(Process::response).collect())
    }
}

impl Process {
    fn start(settings: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("this program has a file"))
            .args([
                "--exact",
                "shared_tokens::process::process",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(VARIABLE, settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let commands = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, commands, lines }
    }

    fn response(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).expect("text"), 0, "the process has ended");
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "other tests start it in a process of its own"]
fn process() {
    let Ok(settings) = env::var(VARIABLE) else { return };
    let settings: Value = serde_json::from_str(&settings).expect("JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&settings));
}

async fn run(settings: &Value) {
    let text = |name: &str| settings[name].as_str().expect("a text");
    let transport = || Transport::new(Client::new());
    let tokens = place::open(&settings["store"], ANSWER_TIMEOUT);
    let user = User::new().user_id(text("user_id"));
    let method = AuthMethod::password(user, text("password"));
    let credentials = V3Credentials::new(text("auth_url").parse::<Uri>().expect("a URL"), method);
    let scope = Scope::new().project_id(text("project_id"));
    let credentials: Arc<dyn Credentials> = match text("kind") {
        "rescoped" => Arc::new(Rescoped::new(credentials, scope, &tokens)),
        _ => Arc::new(credentials.scope(scope)),
    };
    let plugin = RenewingPlugin::new(credentials, transport()).policy(hasty()).store(tokens);
    let placement = placement(plugin);
    loop {
        let line = match placement.clone().oneshot(providers()).await {
            Ok(response) => response.status().as_str().to_owned(),
            Err(error) => error.to_string(),
        };
        // Not by `println`: a line has to be one write.
        io::stdout().write_all(format!("\n{MARK}{line}\n").as_bytes()).expect("the test reads");
        let mut command = String::new();
        // Other tasks of the runtime go on meanwhile.
        let read = tokio::task::spawn_blocking(move || io::stdin().read_line(&mut command));
        if read.await.expect("no panic").expect("text") == 0 {
            return;
        }
    }
}

/// Credentials that obtain a token for a project with an unscoped token, which is shared too.
struct Rescoped {
    unscoped: RenewingPlugin<V3Credentials>,
    scope: Scope,
    id: String,
}

impl Rescoped {
    fn new(credentials: V3Credentials, scope: Scope, tokens: &SharedTokens) -> Self {
        let id = format!("{} rescoped", credentials.clone().scope(scope.clone()).cache_id().expect("an id"));
        let unscoped =
            RenewingPlugin::new(credentials.scope(Scope::new().unscoped()), Transport::new(Client::new()));
        Self { unscoped: unscoped.store(tokens.clone()), scope, id }
    }
}

impl Credentials for Rescoped {
    fn prepare(&self, _: Transport) -> PrepareFuture {
        let unscoped = self.unscoped.access();
        Box::pin(async { unscoped.await.map(drop) })
    }

    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let (unscoped, scope) = (self.unscoped.access(), self.scope.clone());
        let auth_url = self.auth_url().clone();
        Box::pin(async move {
            let access = unscoped.await?;
            let token = access.auth_ref().and_then(|info| info.auth_token()).ok_or(Error::NoToken)?;
            V3Credentials::new(auth_url, AuthMethod::token(token)).scope(scope).get_auth_ref(transport).await
        })
    }

    fn auth_url(&self) -> &Uri {
        self.unscoped.credentials().auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.id.clone())
    }
}

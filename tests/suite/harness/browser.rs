//! A real browser, driven as a person uses it: Chromium by WebDriver.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{Client, ports};

/// A browser window with a profile of its own. Dropping it closes the browser.
pub struct Browser {
    driver: Client,
    port: u16,
    session: String,
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser that believes the certificate in this PEM file and looks nothing up
    /// outside.
    pub async fn start(certificate: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let port = ports::free();
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .env("HOME", profile.path());
        let process = Process::start(&mut command);
        process.output().line("started successfully").await;
        let mut arguments = vec![
            format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ),
            format!(
                "--ignore-certificate-errors-spki-list={}",
                key_hash(certificate)
            ),
        ];
        arguments.extend(
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ]
            .map(String::from),
        );
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
        } } });
        let driver = Client::http(port);
        let opened = driver.post("/session").json(wanted).send().await;
        let opened = opened.expect(200).json();
        let session = opened["value"]["sessionId"].as_str().unwrap().to_owned();
        Self {
            driver,
            port,
            session,
            _process: process,
            _profile: profile,
        }
    }

    async fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        let call = self.driver.call(method, &path);
        let call = match method {
            "GET" | "DELETE" => call,
            _ => call.json(body),
        };
        call.send().await.expect(200).json()["value"].clone()
    }

    /// Goes to a URL and waits until the page is there.
    pub async fn open(&self, url: &str) {
        self.command("POST", "/url", json!({ "url": url })).await;
    }

    pub async fn url(&self) -> String {
        text(self.command("GET", "/url", Value::Null).await)
    }

    pub async fn source(&self) -> String {
        text(self.command("GET", "/source", Value::Null).await)
    }

    /// The cookie of this name, as the browser keeps it.
    pub async fn cookie(&self, name: &str) -> Option<Value> {
        let all = self.command("GET", "/cookie", Value::Null).await;
        let mut all = all.as_array().unwrap().iter();
        all.find(|cookie| cookie["name"] == name).cloned()
    }

    /// What a script of the page gets.
    pub async fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.command("POST", "/execute/sync", body).await
    }

    pub async fn type_into(&self, selector: &str, keys: &str) {
        let path = format!("/element/{}/value", self.element(selector).await);
        self.command("POST", &path, json!({ "text": keys })).await;
    }

    /// Clicks, and waits for the page that a form or a link leads to.
    pub async fn click(&self, selector: &str) {
        let path = format!("/element/{}/click", self.element(selector).await);
        self.command("POST", &path, json!({})).await;
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.command("POST", "/element", body).await;
        let id = found.as_object().and_then(|found| found.values().next());
        text(id.cloned().unwrap_or_default())
    }
}

impl Drop for Browser {
    /// The driver alone knows the browser's processes.
    fn drop(&mut self) {
        let url = format!("http://127.0.0.1:{}/session/{}", self.port, self.session);
        let _ = Command::new("curl")
            .args(["-s", "-m", "10", "-X", "DELETE", &url])
            .output();
    }
}

fn text(value: Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// SHA-256 of the certificate's public key, as Chromium names it.
fn key_hash(certificate: &Path) -> String {
    let script = "openssl x509 -in \"$1\" -pubkey -noout | openssl pkey -pubin -outform der \
                  | openssl dgst -sha256 -binary | openssl base64";
    let mut command = Command::new("sh");
    let hash = command.args(["-c", script, "sh"]).arg(certificate).output();
    String::from_utf8(hash.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

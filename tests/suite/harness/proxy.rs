//! Other people's proxies, as Debian has them, with the configurations that `docs/other-proxies.md` gives.

use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::{Client, Upstream, ports};

const DOCUMENT: &str = include_str!("../../../docs/other-proxies.md");

/// A running nginx or Caddy.
pub struct Proxy {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

/// The block of the document that is written in `language`.
pub fn documented(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let block = DOCUMENT.split_once(&begin).expect(language).1;
    block.split_once("```").expect(language).0
}

impl Proxy {
    /// nginx with these servers in it: they listen on 80, ask 8081, and forward to 3000.
    pub async fn nginx(servers: &str, gateway: u16, backend: &Upstream) -> Self {
        let (port, folder) = (ports::free(), tempfile::tempdir().unwrap());
        let servers = placed(servers, (port, gateway, backend));
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {name};\n"))
            .collect();
        // One process, which ends with the test.
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr notice;\n\
             events {{}}\nhttp {{ access_log off;\n{paths}{servers}}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let process = Process::start(Command::new("nginx").arg("-p").arg(folder.path()).args([
            "-c",
            "nginx.conf",
            "-e",
            "stderr",
        ]));
        process.output().line("event method").await;
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    /// Caddy with these sites.
    pub async fn caddy(sites: &str, gateway: u16, backend: &Upstream) -> Self {
        let (port, folder) = (ports::free(), tempfile::tempdir().unwrap());
        let sites = placed(sites, (port, gateway, backend));
        let text = format!("{{\n\tadmin off\n\tauto_https off\n}}\n{sites}");
        std::fs::write(folder.path().join("Caddyfile"), text).unwrap();
        let process = Process::start(
            Command::new("caddy")
                .args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"])
                .env("HOME", folder.path())
                .env_remove("XDG_DATA_HOME")
                .env_remove("XDG_CONFIG_HOME")
                .current_dir(folder.path()),
        );
        process.output().line("serving initial configuration").await;
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    pub fn client(&self) -> Client {
        Client::http(self.port)
    }
}

fn placed(text: &str, (port, gateway, backend): (u16, u16, &Upstream)) -> String {
    let backend = backend.url();
    let backend = backend.strip_prefix("http://").unwrap();
    text.replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
        .replace(":80 {", &format!("http://:{port} {{\n\tbind 127.0.0.1"))
        .replace("127.0.0.1:8081", &format!("127.0.0.1:{gateway}"))
        .replace("127.0.0.1:3000", backend)
}

//! What the demo prints: requests that work when they are pasted.

use crate::demo::Folder;

/// The password of everybody in the demo.
const PASSWORD: &str = "correct horse battery staple";

/// The requests to try, for a gateway on `port` with its files in `folder`.
pub fn instructions(folder: &Folder, port: u16) -> String {
    let curl = format!("curl --cacert {}", quoted(&folder.ca().to_string_lossy()));
    let site = format!("https://localhost:{port}");
    let person = folder.person();
    let body = format!(r#"{{"email":"{person}","password":"{PASSWORD}"}}"#);
    let named = format!(r#"{{"email":"{person}","password":"{PASSWORD}","name":"Alice"}}"#);
    let json = "-H 'content-type: application/json'";
    let token = r#"sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'"#;
    let ca = quoted(&folder.ca().to_string_lossy());
    let state = folder.path().display();
    format!(
        "Portcullis answers on {site}

Register:
  {curl} {json} -d '{named}' {site}/auth/v1/register

Log in, and keep the token:
  TOKEN=$({curl} -s {json} -d '{body}' {site}/auth/v1/login | {token})

Call a protected path of the backend, which tells what reached it:
  {curl} -H \"Authorization: Bearer $TOKEN\" {site}/hello

Without a token it is refused, a public path is not:
  {curl} {site}/hello
  {curl} {site}/public/hello

Existing clients: PraisonAI on {site}/api/v1/auth/, RAG Modulo on {site}/api/auth/.
They find the certificate authority by: export SSL_CERT_FILE={ca}

State, certificates and access.log are in {state}. End with Ctrl-C.
"
    )
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return String::from(text);
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        for (text, word) in [
            ("/tmp/demo-data/ca.pem", "/tmp/demo-data/ca.pem"),
            ("/tmp/my demo/ca.pem", "'/tmp/my demo/ca.pem'"),
            ("/tmp/it's", r"'/tmp/it'\''s'"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}

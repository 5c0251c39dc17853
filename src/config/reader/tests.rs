//! What an operator is told of a file, and what is believed of it.

use super::*;

fn problems(text: &str, section: impl FnOnce(&mut Table<'_>)) -> String {
    let outcome = read(Path::new("p.toml"), text, |mut root| {
        section(&mut root);
        root.finish();
        Some(())
    });
    outcome.map_or_else(|wrong| wrong.to_string(), |()| String::new())
}

#[test]
fn every_mistake_is_found_in_one_go() {
    let text = "port = \"x\"\nnmae = \"a\"\n";
    let shown = problems(text, |root| {
        root.required::<u16>("port");
        root.required::<String>("name");
    });
    assert!(shown.contains("expected a whole number"), "{shown}");
    assert!(shown.contains("did you mean `name`?"), "{shown}");
    assert!(shown.contains("the key `name` is missing"), "{shown}");
    assert!(shown.contains("p.toml: 3 errors"), "{shown}");
}

#[test]
fn a_file_without_mistakes_is_believed() {
    let shown = problems("list = [1, 2]\n[t]\nk = true\n", |root| {
        assert_eq!(root.list::<u16>("list"), [1, 2]);
        let mut t = root.table("t").unwrap();
        assert_eq!(t.optional::<bool>("k"), Some(true));
        t.finish();
    });
    assert_eq!(shown, "");
}

#[test]
fn one_mistake_is_one_message() {
    let text = "list = \"a\"\nother = [1, \"b\"]\n";
    let shown = problems(text, |root| {
        assert_eq!(root.list::<String>("list"), [""; 0]);
        assert_eq!(root.list::<u16>("other"), [1]);
        for key in ["list", "other"] {
            assert!(root.is_misread(key));
            root.wrong(key, "there should be two");
        }
        root.wrong("oth", "another key");
        root.wrong("oth", "and another mistake in it");
    });
    assert!(
        shown.contains("one is a list, too: list = [\"…\"]"),
        "{shown}"
    );
    assert!(!shown.contains("there should be two"), "{shown}");
    assert!(shown.contains("p.toml: 4 errors"), "{shown}");
}

#[test]
fn broken_toml_is_reported_with_its_place() {
    let shown = problems("a = [1,\n", |_| {});
    assert!(shown.contains("this is not TOML"), "{shown}");
}

#[test]
fn nested_keys_carry_their_path() {
    let shown = problems("[[route]]\npaht = \"/\"\n", |root| {
        for mut route in root.tables("route") {
            route.required::<String>("path");
            route.finish();
        }
    });
    assert!(shown.contains("key: route[0].path"), "{shown}");
    assert!(shown.contains("p.toml:2:1"), "{shown}");
}

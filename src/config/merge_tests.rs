//! Properties of the merged settings: where each of them comes from, and which are overridden.

use std::{collections::BTreeMap, fmt::Write, io, sync::Arc};

use proptest::{collection::btree_map, prelude::*};

use super::{
    cloud::arguments::argument,
    load,
    options::Options,
    value::{Data, Mapping, Value},
};

/// A value of a generated file.
#[derive(Clone, Debug)]
enum Node {
    Null,
    /// Its text says which layer it stands in.
    Text(u8),
    List(Vec<u8>),
    Mapping(Members),
}

/// Mappings with no member are left out: they override nothing and are not seen in the result.
type Members = BTreeMap<String, Node>;

/// What the layers of one cloud contain, from the lowest on.
#[derive(Clone, Debug)]
struct Layers {
    profile: Members,
    clouds: Members,
    secure: Members,
    region: Members,
    arguments: Members,
}

const NAMES: [&str; 4] = ["alpha", "beta_two", "gamma_2_x", "delta"];

fn name() -> impl Strategy<Value = String> {
    proptest::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = Node> {
    prop_oneof![
        Just(Node::Null),
        any::<u8>().prop_map(Node::Text),
        proptest::collection::vec(any::<u8>(), 0..3).prop_map(Node::List),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    leaf().prop_recursive(3, 16, 3, |inner| btree_map(name(), inner, 1..4).prop_map(Node::Mapping))
}

/// Generates the settings of a layer, some of them in `auth`.
fn members(node: impl Strategy<Value = Node> + Clone) -> impl Strategy<Value = Members> {
    let auth = btree_map(name(), node.clone(), 0..4);
    (btree_map(name(), node, 0..4), auth).prop_map(|(mut members, auth)| {
        if !auth.is_empty() {
            members.insert("auth".into(), Node::Mapping(auth));
        }
        members
    })
}

fn layers() -> impl Strategy<Value = Layers> {
    let is_set = |node: &Node| !matches!(node, Node::Null);
    let region = members(node().prop_filter("null in a region is not set", is_set).boxed());
    let arguments = members(any::<u8>().prop_map(Node::Text).boxed());
    (members(node().boxed()), members(node().boxed()), members(node().boxed()), region, arguments).prop_map(
        |(profile, clouds, secure, region, arguments)| Layers { profile, clouds, secure, region, arguments },
    )
}

proptest! {
    #[test]
    fn a_setting_is_that_of_the_highest_layer_that_has_it(layers in layers(), spelling in any::<u8>()) {
        let settings = load::merge(&options(&layers, spelling)).expect("a configuration").settings;
        let mut result = Leaves::new();
        collect_value(&settings.top, &[], &mut result);
        collect_value(&settings.auth, &["auth".into()], &mut result);
        let region_name = result.remove(&vec!["region_name".to_owned()]);
        prop_assert_eq!(region_name.as_deref(), Some("R1"));

        let stack = [
            ("profile", &layers.profile),
            ("clouds", &layers.clouds),
            ("secure", &layers.secure),
            ("region", &layers.region),
            ("arguments", &layers.arguments),
        ];
        let mut expected = Leaves::new();
        for (index, (layer, members)) in stack.iter().enumerate() {
            let mut leaves = Leaves::new();
            collect_node(members, layer, &[], &mut leaves);
            for (path, text) in leaves {
                let overridden = stack[index + 1..].iter().any(|(above, over)| {
                    if (*layer, *above) == ("clouds", "secure") {
                        replaces_in_depth(over, &path)
                    } else {
                        replaces_member(over, &path)
                    }
                });
                if !overridden {
                    prop_assert_eq!(expected.insert(path, text), None);
                }
            }
        }
        prop_assert_eq!(result, expected);
    }
}

/// The path of each leaf, and what it shows.
type Leaves = BTreeMap<Vec<String>, String>;

/// Returns whether a secure file replaces what the clouds file has at a path: mappings in both are merged.
fn replaces_in_depth(over: &Members, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return true };
    match over.get(name) {
        None => false,
        Some(Node::Mapping(members)) => replaces_in_depth(members, rest),
        Some(_) => true,
    }
}

/// Returns whether a layer replaces the setting, or the member of `auth`, that contains a path.
fn replaces_member(over: &Members, path: &[String]) -> bool {
    match over.get(&path[0]) {
        Some(Node::Mapping(auth)) if path[0] == "auth" => auth.contains_key(&path[1]),
        other => other.is_some(),
    }
}

fn collect_node(members: &Members, layer: &str, path: &[String], leaves: &mut Leaves) {
    for (name, node) in members {
        let path = [path, std::slice::from_ref(name)].concat();
        let text = match node {
            Node::Null => "null".into(),
            Node::Text(number) => format!("{layer}-{number}"),
            Node::List(numbers) => format!("{:?}", texts(layer, numbers)),
            Node::Mapping(members) => {
                collect_node(members, layer, &path, leaves);
                continue;
            }
        };
        leaves.insert(path, text);
    }
}

fn collect_value(members: &Mapping, path: &[String], leaves: &mut Leaves) {
    for (name, value) in members.iter() {
        let path = [path, &[name.to_owned()]].concat();
        let text = match &value.data {
            Data::Null => "null".into(),
            Data::Scalar(text) => text.expose().into(),
            Data::Sequence(items) => format!("{:?}", items.iter().map(text_of).collect::<Vec<_>>()),
            Data::Mapping(members) => {
                collect_value(members, &path, leaves);
                continue;
            }
        };
        leaves.insert(path, text);
    }
}

fn text_of(value: &Value) -> &str {
    match &value.data {
        Data::Scalar(text) => text.expose(),
        _ => panic!("{value:?}"),
    }
}

fn texts(layer: &str, numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| format!("{layer}-{number}")).collect()
}

/// Returns options with the layers in files and arguments. Each bit of `spelling` has a file spell names with `-`.
fn options(layers: &Layers, spelling: u8) -> Options {
    let spelt = |bit: u8| {
        move |name: &str| if spelling >> bit & 1 == 1 { name.replace('_', "-") } else { name.to_owned() }
    };

    let mut clouds =
        "clouds:\n  other: {alpha: other}\n  one:\n    profile: acme\n    regions:\n    - name: R1\n"
            .to_owned();
    if !layers.region.is_empty() {
        clouds.push_str("      values:\n");
        write_block(&layers.region, "region", 8, 2, &spelt(0), &mut clouds);
    }
    clouds.push_str("    - R2\n");
    write_block(&layers.clouds, "clouds", 4, 2, &spelt(1), &mut clouds);
    let secure = format!("{{\"clouds\": {{\"one\": {}}}}}", flow(&layers.secure, "secure", 2, &spelt(2)));
    let public = format!("public-clouds: {{acme: {}}}", flow(&layers.profile, "profile", 2, &spelt(3)));

    let mut options = Options {
        cloud: Some("one".into()),
        environment: Some([("HOME".into(), "/home/alice".into())].into()),
        working_directory: Some("/work".into()),
        read_file: Some(Arc::new(move |path| match path.to_str() {
            Some("/etc/openstack/clouds.yaml") => Ok(clouds.clone().into()),
            Some("/etc/openstack/secure.json") => Ok(secure.clone().into()),
            Some("/etc/openstack/clouds-public.yml") => Ok(public.clone().into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })),
        ..Options::default()
    };
    for (name, node) in &layers.arguments {
        match node {
            Node::Mapping(auth) => {
                auth.iter().for_each(|(name, node)| put(&mut options.auth_arguments, &spelt(4)(name), node));
            }
            node => put(&mut options.arguments, &spelt(4)(name), node),
        }
    }
    options
}

fn put(arguments: &mut Mapping, name: &str, node: &Node) {
    let Node::Text(number) = node else { panic!("{node:?}") };
    arguments.insert(name, argument(name, format!("arguments-{number}").into()));
}

/// Writes members as a block. Their names are spelt differently in the two levels where `-` and `_` are the same.
fn write_block(
    members: &Members,
    layer: &str,
    indent: usize,
    levels: u8,
    spelt: &impl Fn(&str) -> String,
    text: &mut String,
) {
    for (name, node) in members {
        let name = if levels > 0 { spelt(name) } else { name.clone() };
        write!(text, "{:indent$}{name}:", "").unwrap();
        match node {
            Node::Mapping(members) => {
                text.push('\n');
                let levels = if name == "auth" { levels.saturating_sub(1) } else { 0 };
                write_block(members, layer, indent + 2, levels, spelt, text);
            }
            Node::Null => text.push_str(" ~\n"),
            Node::Text(number) => writeln!(text, " {layer}-{number}").unwrap(),
            Node::List(numbers) => writeln!(text, " {:?}", texts(layer, numbers)).unwrap(),
        }
    }
}

/// Writes members as JSON.
fn flow(members: &Members, layer: &str, levels: u8, spelt: &impl Fn(&str) -> String) -> String {
    let members = members.iter().map(|(name, node)| {
        let name = if levels > 0 { spelt(name) } else { name.clone() };
        let value = match node {
            Node::Mapping(members) => {
                flow(members, layer, if name == "auth" { levels.saturating_sub(1) } else { 0 }, spelt)
            }
            Node::Null => "null".into(),
            Node::Text(number) => format!("\"{layer}-{number}\""),
            Node::List(numbers) => format!("{:?}", texts(layer, numbers)),
        };
        format!("\"{name}\": {value}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

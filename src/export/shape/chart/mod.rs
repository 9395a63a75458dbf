//! A Helm chart of an export. Its templates are the objects, with places in them that `values.yaml` fills: what may differ
//! between environments. Rendered with the values as they are, the chart gives the objects of the plain export.
//!
//! Values are images, replicas, resources, the environment's variables, secrets, sizes and classes of volumes, hosts,
//! autoscaling, disruption budgets and network policies; everything else stands in the templates as it is.

mod holes;
mod values;

use serde_json::json;

use super::super::yaml::{Text as Yaml, value};
use super::super::{Export, WriteError, name};
use super::{Text, Tree, is_private};

use values::Values;

/// What templates share. `hoist.image` writes an image; `hoist.digest` keeps the digest of an export for as long as the
/// values are those of the export, and is another one for other values, so that pods roll.
const HELPERS: &str = r#"{{- define "hoist.image" -}}
{{- .repository -}}
{{- with .tag }}:{{ . }}{{ end -}}
{{- with .digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "hoist.digest" -}}
{{- $now := .now | toJson | sha256sum -}}
{{- if eq $now .untouched -}}{{ .exported | quote }}{{- else -}}{{ $now | trunc 16 | quote }}{{- end -}}
{{- end -}}
"#;

const VALUES: &str = "\
# What may differ between environments. These values give what `hoist export kubernetes` exports; give an environment its
# own in a file beside this one, with the keys that it changes only: `helm install -f production.yaml`.
";

const CHART: &str = "\
# The chart's own version is yours to raise.
";

/// Makes the folder of the chart.
pub fn tree(project: &str, export: &Export) -> Result<Tree, WriteError> {
    let mut values = Values::default();
    let mut tree = Tree::new();
    let objects: Vec<_> = export.objects.iter().filter(|object| object.kind().as_str() != "Namespace").collect();
    // Digests of pods are over the values of what they read, whichever is written first.
    for object in &objects {
        holes::register_texts(object, &mut values);
    }
    for object in &objects {
        let (node, guard) = holes::template(object, &mut values)?;
        let mut content = Yaml::template(&node);
        if let Some(guard) = guard {
            content = format!("{{{{- if {guard} }}}}\n{content}{{{{- end }}}}\n");
        }
        tree.insert(format!("templates/{}", object.file_name()), Text::public(content));
    }
    let chart = json!({
        "apiVersion": "v2",
        "name": name::label(project),
        "description": format!("The project {project}, exported by hoist"),
        "type": "application",
        "version": "0.1.0",
    });
    tree.insert("Chart.yaml".to_owned(), Text::public(format!("{CHART}{}", value(chart))));
    tree.insert(".helmignore".to_owned(), Text::public(".hoist/\n".to_owned()));
    tree.insert("templates/_helpers.tpl".to_owned(), Text::public(HELPERS.to_owned()));
    let private = objects.iter().any(|object| is_private(object));
    let content = format!("{VALUES}{}", value(values.defaults()));
    tree.insert("values.yaml".to_owned(), Text { content, private });
    let schema = serde_json::to_string_pretty(&values.schema()).unwrap_or_default();
    tree.insert("values.schema.json".to_owned(), Text::public(schema + "\n"));
    Ok(tree)
}

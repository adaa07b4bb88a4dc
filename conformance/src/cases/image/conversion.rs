//! What the image's configuration becomes in config.json: the program and its surroundings.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{case, converts, of, small};
use crate::case::{Case, expect_eq};
use crate::fixture::{Image, Layer};
use crate::image::{Desk, reconfigured};

const VERBATIM: &str = "image-spec/conversion.md#verbatim-fields";
const MUST: &str = "A compliant configuration converter MUST extract the following fields verbatim to the corresponding field in the generated runtime configuration";
const EXTRA: &str = "Any extra fields in the Image JSON struct are considered implementation specific and MUST NOT generate an error by any implementations which are unable to interpret them.";

fn layer() -> Layer {
    Layer::new().file("a", "program").mode(0o755).dir("work")
}

fn env(config: &Value) -> Vec<String> {
    let list = config["process"]["env"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) const CASES: &[Case<Desk>] = &[
    case("conversion.working-dir-is-cwd", VERBATIM, MUST, |desk| {
        converts(desk, of([layer()]).workdir("/work"), "/process/cwd", "/work")
    }),
    case(
        "conversion.no-working-dir-is-an-absolute-cwd",
        "config.md#configProcess",
        "cwd (string, REQUIRED) is the working directory that will be set for the executable. This value MUST be an absolute path.",
        |desk| converts(desk, of([layer()]), "/process/cwd", "/"),
    ),
    case("conversion.cmd-is-args", VERBATIM, MUST, |desk| {
        let image = Image::new().layer(&layer()).cmd(["/a", "b c", ""]);
        converts(desk, image, "/process/args", json!(["/a", "b c", ""]))
    }),
    case("conversion.entrypoint-is-args", VERBATIM, MUST, |desk| {
        let image = Image::new().layer(&layer()).entrypoint(["/a", "x"]);
        converts(desk, image, "/process/args", json!(["/a", "x"]))
    }),
    case(
        "conversion.cmd-is-appended-to-entrypoint",
        VERBATIM,
        "If both Config.Entrypoint and Config.Cmd are specified, the converter MUST append the value of Config.Cmd to the value of Config.Entrypoint and set process.args to that combined value.",
        |desk| {
            let image = Image::new().layer(&layer()).entrypoint(["/a", "x"]).cmd(["y", "z"]);
            converts(desk, image, "/process/args", json!(["/a", "x", "y", "z"]))
        },
    ),
    case("conversion.env-is-env", VERBATIM, MUST, |desk| {
        let image = of([layer()]).env("KEPT=a=b c").env("EMPTY=").env("PATH=/only");
        let config = desk.unpack(&image.build()?)?.config()?;
        for pair in ["KEPT=a=b c", "EMPTY=", "PATH=/only"] {
            ensure!(
                env(&config).iter().any(|held| held == pair),
                "process.env {:?} lacks {pair}",
                env(&config)
            );
        }
        Ok(())
    }),
    case(
        "conversion.env-has-no-second-value-of-a-variable",
        VERBATIM,
        "The converter MAY add additional entries to process.env but it SHOULD NOT add entries that have variable names present in Config.Env.",
        |desk| {
            let image = of([layer()]).env("PATH=/only").env("HOME=/there").env("TERM=none");
            let config = desk.unpack(&image.build()?)?.config()?;
            for (name, pair) in [("PATH=", "PATH=/only"), ("HOME=", "HOME=/there"), ("TERM=", "TERM=none")] {
                let held: Vec<String> =
                    env(&config).into_iter().filter(|held| held.starts_with(name)).collect();
                expect_eq(name, held, vec![pair])?;
            }
            Ok(())
        },
    ),
    case(
        "conversion.defaults-change-no-variable",
        "image-spec/conversion.md#conversion-to-oci-runtime-configuration",
        "However an implementation-defined default SHOULD NOT result in an environment variable being removed or changed.",
        |desk| {
            let image = of([layer()]).env("TERM=kept").env("HOSTNAME=kept");
            let config = desk.unpack(&image.build()?)?.config()?;
            for pair in ["TERM=kept", "HOSTNAME=kept"] {
                ensure!(
                    env(&config).iter().any(|held| held == pair),
                    "process.env {:?} lacks {pair}",
                    env(&config)
                );
            }
            Ok(())
        },
    ),
    case(
        "conversion.root-is-the-tree",
        "bundle.md#container-format",
        "If root is provided, this directory MUST be referenced from within the config.json file.",
        |desk| {
            let bundle = desk.unpack(&small().build()?)?;
            expect_eq("root.path", bundle.config()?["root"]["path"].clone(), "rootfs")?;
            expect_eq("a", bundle.text("a")?, "content of a\n")
        },
    ),
    case(
        "conversion.volumes-are-mounts",
        "image-spec/conversion.md#optional-fields",
        "If a converter implements conversion for this field using mountpoints, it SHOULD set the destination of the mountpoint to the value specified in Config.Volumes.",
        |desk| {
            let config =
                desk.unpack(&of([layer()]).volume("/kept").volume("/data/kept").build()?)?.config()?;
            let mounts = config["mounts"].as_array().cloned().unwrap_or_default();
            for place in ["/kept", "/data/kept"] {
                ensure!(mounts.iter().any(|mount| mount["destination"] == place), "no mount at {place}");
            }
            Ok(())
        },
    ),
    case("conversion.unknown-fields-are-no-error", "image-spec/config.md#properties", EXTRA, |desk| {
        let image = reconfigured(&small().build()?, |config| {
            config["x-unknown"] = json!({ "a": [1, 2] });
            config["config"]["OnBuild"] = json!(["RUN true"]);
            config["config"]["Healthcheck"] = json!({ "Test": ["CMD", "true"] });
        });
        desk.unpack(&image).map(drop)
    }),
    case(
        "conversion.null-is-absent",
        "image-spec/config.md#properties",
        "Note: Any OPTIONAL field MAY also be set to null, which is equivalent to being absent.",
        |desk| {
            let image = reconfigured(&small().build()?, |config| {
                for field in ["created", "author", "history", "variant"] {
                    config[field] = Value::Null;
                }
                for field in ["User", "Env", "Entrypoint", "Volumes", "WorkingDir", "Labels", "ExposedPorts"]
                {
                    config["config"][field] = Value::Null;
                }
            });
            let config = desk.unpack(&image)?.config()?;
            expect_eq("process.args", config["process"]["args"].clone(), json!(["/a"]))?;
            expect_eq("process.cwd", config["process"]["cwd"].clone(), "/")
        },
    ),
    case(
        "conversion.spaces-in-the-document-are-no-error",
        "image-spec/config.md#properties",
        "Whitespace is OPTIONAL and implementations MAY have compact JSON with no whitespace.",
        |desk| {
            let image = super::spaced(&small().build()?);
            desk.unpack(&image)?.text("a").map(drop)
        },
    ),
];

//! Problems of a webhook's way out: encryption, the address guard, proxies, names in TLS. Those
//! with files of certificates and keys stand in `pem`.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "http://h.example/SECRET"}}, {name: b, destination: webhook, webhook: {url: "http://[::ffff:127.0.0.1]/SECRET"}}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:58: exports[0].webhook.url: http://h.example/… is not encrypted: events and secrets can be read
  fix: use https
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "http://127.0.0.1/SECRET", require_https: true}}]
"#,
        &[],
        r#"
postrider.yaml:1:58: exports[0].webhook.url: http://127.0.0.1/… is not encrypted: events and secrets can be read
  fix: use https, or leave out `require_https`
"#,
    ),
    (
        r#"
exports:
- name: a
  destination: webhook
  webhook: {url: "https://2130706433:8443/SECRET", block_private_networks: true}
- name: b
  destination: webhook
  webhook: {url: "https://[::ffff:169.254.169.254]/SECRET", block_private_networks: true, allow: [10.0.0.0/8]}
- name: c
  destination: webhook
  webhook: {url: "https://10.1.2.3/SECRET", block_private_networks: true, allow: [10.0.0.0/8]}
- name: d
  destination: webhook
  webhook: {url: "https://127.1:8443/SECRET", block_private_networks: true, allow: ["127.0.0.1:8443"]}
"#,
        &[],
        r#"
postrider.yaml:4:18: exports[0].webhook.url: `127.0.0.1` leads to this machine, and `block_private_networks` is on
  fix: use a public host, or add it to `allow`
postrider.yaml:7:18: exports[1].webhook.url: `[::ffff:a9fe:a9fe]` leads to a link-local network, and `block_private_networks` is on
  fix: use a public host, or add it to `allow`
"#,
    ),
    (
        r#"
exports:
- name: a
  destination: webhook
  webhook: {url: "https://h", block_private_networks: true, allow: [10.0.0.1/8, h, "h:x", "*.h:1", "::/129"]}
"#,
        &[],
        r#"
postrider.yaml:4:69: exports[0].webhook.allow[0]: `10.0.0.1/8`: the address has bits beyond the prefix
  fix: write `10.0.0.0/8`, or `10.0.0.1/32` for this address alone
postrider.yaml:4:81: exports[0].webhook.allow[1]: `h`: it names no port
  fix: write a network such as `10.1.0.0/16`, or a host with its port such as `hooks.internal:8443`
postrider.yaml:4:84: exports[0].webhook.allow[2]: `h:x`: the port is no number from 1 to 65535
  fix: write a network such as `10.1.0.0/16`, or a host with its port such as `hooks.internal:8443`
postrider.yaml:4:91: exports[0].webhook.allow[3]: `*.h:1`: a host's name has no wildcards here
  fix: name each host
postrider.yaml:4:100: exports[0].webhook.allow[4]: `::/129`: no network has a prefix of this length
  fix: write `::/128` for this address alone
"#,
    ),
    (
        r#"
exports: [{name: a, destination: webhook, webhook: {url: "https://h", allow: [10.0.0.0/8]}}]
"#,
        &[],
        r#"
warning: postrider.yaml:1:78: exports[0].webhook.allow: everything may be dialled: these are exceptions from `block_private_networks`
  fix: add `block_private_networks: true`
"#,
    ),
    (
        r#"
exports:
- {name: a, destination: webhook, webhook: {url: "https://h", proxy: "proxy.internal:3128"}}
- {name: b, destination: webhook, webhook: {url: "https://h", proxy: "https://user:s3cret@p"}}
- {name: c, destination: webhook, webhook: {url: "https://h", proxy: "http://user:s3cret@p/SECRET"}}
- {name: d, destination: webhook, webhook: {url: "https://h", proxy: "http://a%3Ab:s3cret@p"}}
- {name: e, destination: webhook, webhook: {url: "https://h", proxy: "http://a:%ff@p"}}
- {name: f, destination: webhook, webhook: {url: "https://h", proxy: "http://p:0"}}
- {name: g, destination: webhook, webhook: {url: "https://h", proxy: "s3cret"}}
- {name: h, destination: webhook, webhook: {url: "https://h", proxy: "http://user:s3cret@p:3128"}}
"#,
        &[],
        r#"
postrider.yaml:2:70: exports[0].webhook.proxy: a proxy is reached by `http`; what goes through it is encrypted all the same
  fix: write `http://proxy.internal:3128`
postrider.yaml:3:70: exports[1].webhook.proxy: a proxy is reached by `http`; what goes through it is encrypted all the same
  fix: write `http://proxy.internal:3128`
postrider.yaml:4:70: exports[2].webhook.proxy: a proxy has no path
  fix: write `http://proxy.internal:3128`
postrider.yaml:5:70: exports[3].webhook.proxy: a user name cannot hold `:`
  fix: write the proxy's user name as it is
postrider.yaml:6:70: exports[4].webhook.proxy: user name and password are not UTF-8
  fix: write `%25` for `%`
postrider.yaml:7:70: exports[5].webhook.proxy: a proxy needs a host, and its port is not 0
  fix: write `http://proxy.internal:3128`
postrider.yaml:8:70: exports[6].webhook.proxy: not a URL: relative URL without a base
  fix: write `http://proxy.internal:3128`
"#,
    ),
    (
        r#"
exports:
- {name: a, destination: webhook, webhook: {url: "https://h", tls: {server_name: "a b", verify: false}}}
- {name: b, destination: webhook, webhook: {url: "http://127.0.0.1", tls: {server_name: h.example}}}
- {name: c, destination: webhook, webhook: {url: "https://h", tls: {client_cert_file: a.pem}}}
- {name: d, destination: webhook, webhook: {url: "https://h", tls: {client_key_file: a.pem}}}
- {name: e, destination: webhook, webhook: {url: "https://h", tls: {ca_file: gone.pem, min_version: 1}}}
"#,
        &[],
        r#"
postrider.yaml:2:82: exports[0].webhook.tls.server_name: `a b` is not the name of a server
  fix: write a host's name such as `hooks.example.com`
postrider.yaml:4:87: exports[2].webhook.tls.client_cert_file: a certificate without its key
  fix: add `client_key_file`
postrider.yaml:5:86: exports[3].webhook.tls.client_key_file: a key without its certificate
  fix: add `client_cert_file`
postrider.yaml:6:78: exports[4].webhook.tls.ca_file: `gone.pem` cannot be read: no such file or directory
  fix: the path counts from the file that names it
postrider.yaml:6:88: exports[4].webhook.tls.min_version: unknown key
  fix: known here: `ca_file`, `client_cert_file`, `client_key_file`, `server_name`, `verify`
warning: postrider.yaml:2:97: exports[0].webhook.tls.verify: the receiver's certificate is NOT checked: events and secrets go to whoever answers
  fix: name its authority in `ca_file` instead
warning: postrider.yaml:3:75: exports[1].webhook.tls: the URL is not https: this is not used
  fix: leave it out, or use https
"#,
    ),
];

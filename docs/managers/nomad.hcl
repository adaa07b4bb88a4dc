# Nomad's client: /etc/nomad.d/50-mocker.hcl
plugin "docker" {
  config {
    allow_runtimes = ["runc", "mocker"]
  }
}

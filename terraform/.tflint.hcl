# Rules of tflint; the workflow `ci` runs it, because it has no package that works without GitHub.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

plugin "aws" {
  enabled = true
  version = "0.43.0"
  source  = "github.com/terraform-linters/tflint-ruleset-aws"
}

# A large module is split by subject (network.tf, alarms.tf); main.tf, variables.tf and outputs.tf are always there.
rule "terraform_standard_module_structure" {
  enabled = true
}

rule "terraform_documented_outputs" {
  enabled = true
}

rule "terraform_documented_variables" {
  enabled = true
}

rule "terraform_typed_variables" {
  enabled = true
}

rule "terraform_naming_convention" {
  enabled = true
  format  = "snake_case"
}

"""One module per physical kind of defect, each with one function ``render``; the registry knows them all."""

"""One format of optical flow a file; `exchange.contract.Format` says what each has."""

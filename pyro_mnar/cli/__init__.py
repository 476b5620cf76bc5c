"""The command line: options, what is asked of the library, what is printed."""

"""The design workbench: a Streamlit application over the same request and engine as the command line."""

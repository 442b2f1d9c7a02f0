"""The scenario `redelivery`: what is put, transformed and written fails on a schedule, and the account adds up."""

#!/bin/sh
exec web "$@"

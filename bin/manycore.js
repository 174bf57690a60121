#!/usr/bin/env node
'use strict';

require('../lib/bench/command').main(process.argv.slice(2));

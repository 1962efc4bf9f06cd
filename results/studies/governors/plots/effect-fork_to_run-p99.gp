# Drawn by forksim plot; run `gnuplot effect-fork_to_run-p99.gp` in this folder to draw it again.
set terminal svg size 1000,324 font "DejaVu Sans,13" background "white" noenhanced name "effect_fork_to_run_p99"
set output "effect-fork_to_run-p99.svg"
set title "governors: fork_to_run.p99 by governor"
set xlabel "fork_to_run.p99 relative to governor = performance, 95 % interval, 20 seeds"
set logscale x
set xrange [0.556:3230]
set xtics ("" 0.6 1, "" 0.7 1, "" 0.8 1, "" 0.9 1, "1" 1, "" 2 1, "" 3 1, "" 4 1, "" 5 1, "" 6 1, "" 7 1, "" 8 1, "" 9 1, "10" 10, "" 20 1, "" 30 1, "" 40 1, "" 50 1, "" 60 1, "" 70 1, "" 80 1, "" 90 1, "100" 100, "" 200 1, "" 300 1, "" 400 1, "" 500 1, "" 600 1, "" 700 1, "" 800 1, "" 900 1, "1000" 1000, "" 2000 1, "" 3000 1)
set format x "%.4g"
set yrange [0.4:3.6]
set ytics ("powersave" 3, "ondemand" 2, "schedutil" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-fork_to_run-p99.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_rate", \
     "effect-fork_to_run-p99.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_clients", \
     "effect-fork_to_run-p99.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "fork_storm", \
     "effect-fork_to_run-p99.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "make_j4"
unset output
set terminal pngcairo size 1000,324 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-fork_to_run-p99.png"
replot
unset output
